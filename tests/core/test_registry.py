# SPDX-License-Identifier: Apache-2.0
"""Names of families and reward models: what a person may name, a file may not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from meta_rl_core.errors import InvalidValueError, UnknownNameError
from meta_rl_core.registry import load_registered, load_reward


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that leaves a canary when it is imported; gives the canary's path."""
    canary = tmp_path / "canary"
    (tmp_path / "trap_of_a_bundle.py").write_text(
        f"from pathlib import Path\nPath({str(canary)!r}).touch()\n\ndef make():\n    raise RuntimeError\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "trap_of_a_bundle", raising=False)
    monkeypatch.delenv("PITAYA_PACKAGES", raising=False)
    return canary


@pytest.mark.parametrize("name", ["trap_of_a_bundle:make", "os:abort", "pdb:set_trace", "a.b.c:D"])
@pytest.mark.parametrize("kind", ["families", "rewards", "plants", "commands"])
def test_a_file_cannot_make_anything_be_imported(trap: Path, kind: str, name: str) -> None:
    with pytest.raises(InvalidValueError, match="which nobody registered; importing it would run it"):
        load_registered(kind, name, from_file=True)
    assert not trap.exists()
    assert "trap_of_a_bundle" not in sys.modules


def test_a_person_can_by_naming_it_or_by_trusting_its_package(
    trap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PITAYA_PACKAGES", "another,trap_of_a_bundle")
    assert load_registered("families", "trap_of_a_bundle:make", from_file=True).__name__ == "make"
    monkeypatch.delenv("PITAYA_PACKAGES")
    assert load_registered("families", "trap_of_a_bundle:make").__name__ == "make"
    assert trap.exists()


def test_registered_names_need_no_trust() -> None:
    assert load_reward("dclaw-turn", from_file=True).name == "dclaw-turn"
    with pytest.raises(UnknownNameError, match=r"known: .*dclaw-turn"):
        load_reward("moon", from_file=True)
