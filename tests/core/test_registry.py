# SPDX-License-Identifier: Apache-2.0
"""Names of families and reward models: what a person may name, a file may not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from meta_rl_core.errors import ContractError, InvalidValueError, UnknownNameError
from meta_rl_core.registry import load_family, load_registered, load_reward


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


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Writes a module with this source; gives the name of the family that it makes."""

    def write(source: str) -> str:
        (tmp_path / "broken_family.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "broken_family", raising=False)
        return "broken_family:make"

    return write


@pytest.mark.parametrize(
    ("source", "said", "cause"),
    [
        (
            "import no_such_library\n",
            r"No module named 'no_such_library' \(.*broken_family.py, line 1\)",
            ImportError,
        ),
        ("from os import no_such_name\n", r"ImportError: cannot import name 'no_such_name'", ImportError),
        (
            "\nmake = 1 / 0\n",
            r"ZeroDivisionError: division by zero \(.*broken_family.py, line 2\)",
            ArithmeticError,
        ),
        ("def make(:\n", r"SyntaxError: .*broken_family.py, line 1\)", SyntaxError),
    ],
)
def test_a_module_that_is_there_but_fails_says_why_and_where(
    broken: Callable[[str], str], source: str, said: str, cause: type[Exception]
) -> None:
    with pytest.raises(
        ContractError, match=f"importing 'broken_family' for the task family .* raised .*{said}"
    ) as told:
        load_family(broken(source))
    assert isinstance(told.value.__cause__, cause)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_such_package:make", "unknown task family .*: No module named 'no_such_package'; known: "),
        ("os.no_such_module:make", "unknown task family .*: No module named 'os.no_such_module'"),
        ("os:no_such_family", "unknown task family .*: the module 'os' has no 'no_such_family'; known: "),
        (":make", "unknown task family ':make'; known: "),
        ("..os:make", r"unknown task family '\.\.os:make'; known: "),
    ],
)
def test_a_name_that_leads_nowhere_says_how_far_it_led(name: str, said: str) -> None:
    with pytest.raises(UnknownNameError, match=said):
        load_family(name)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "def make():\n    raise RuntimeError('no licence')\n",
            r"making the task family 'broken_family:make' raised RuntimeError: no licence \(.*py, line 2\)",
        ),
        (
            "def make(size):\n    return size\n",
            r"raised TypeError: make\(\) missing 1 required positional argument",
        ),
        ("make = 3\n", "raised TypeError: 'int' object is not callable"),
        (
            "from meta_rl_core.tasks import TaskFamily\n\nclass make(TaskFamily):\n    pass\n",
            "raised TypeError: Can't instantiate abstract class make",
        ),
        ("def make():\n    return 3\n", "must build a TaskFamily, got int"),
        (
            "from tests.helpers.toy_family import LineFamily\n\ndef make():\n    made = LineFamily()\n"
            "    del made.spec\n    return made\n",
            "'broken_family:make' must set `spec` to a FamilySpec when it is made, got nothing",
        ),
        (
            "from tests.helpers.toy_family import LineFamily, LineReward\n\nclass make(LineFamily):\n"
            "    def __init__(self):\n        super().__init__()\n        self.reward_model = LineReward\n",
            "must set `reward_model` to a RewardModel when it is made, got ABCMeta",
        ),
    ],
)
def test_a_family_that_cannot_be_made_or_is_none_says_what_is_wrong(
    broken: Callable[[str], str], source: str, said: str
) -> None:
    with pytest.raises(ContractError, match=said):
        load_family(broken(source))


def test_what_a_family_refuses_by_itself_is_said_in_its_own_words(broken: Callable[[str], str]) -> None:
    name = broken(
        "from meta_rl_core.errors import InvalidValueError\n\ndef make():\n    raise InvalidValueError('got 3')\n"
    )
    with pytest.raises(InvalidValueError, match=r"^got 3$"):
        load_family(name)


def test_a_missing_optional_package_is_left_to_the_command_line_which_knows_how_to_get_it(
    broken: Callable[[str], str],
) -> None:
    missing = "raise ModuleNotFoundError('no mujoco', name='mujoco.part')\n"
    for source in (missing, f"def make():\n    {missing}"):
        with pytest.raises(ModuleNotFoundError, match="no mujoco"):
            load_family(broken(source))
