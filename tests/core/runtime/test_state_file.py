# SPDX-License-Identifier: Apache-2.0
"""State files are written whole or not at all, and read with suspicion."""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.state_file import PREVIOUS, read_state_file, write_state


def test_a_state_is_read_back_to_the_bit(tmp_path: Path) -> None:
    state = {"a": [0.1, 1e-320, -0.0, 2**100], "b": None}
    write_state(tmp_path / "state.json", {"old": 1})
    write_state(tmp_path / "state.json", state)
    assert repr(read_state_file(tmp_path / "state.json")) == repr(state)
    assert os.listdir(tmp_path) == ["state.json"]


def test_the_file_that_was_replaced_last_can_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    for count in range(4):
        write_state(path, {"count": count}, keep_previous=True)
    assert read_state_file(path) == {"count": 3}
    assert read_state_file(tmp_path / "state.json.previous") == {"count": 2}
    assert sorted(os.listdir(tmp_path)) == ["state.json", "state.json.previous"]


def test_what_a_killed_writer_left_behind_goes_with_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_state(path, {"old": 1})
    for name in (".state.json-abc", f".state.json-1{PREVIOUS}", ".other.json-abc"):
        (tmp_path / name).write_text("half")
    write_state(path, {"new": 1})
    assert sorted(os.listdir(tmp_path)) == [".other.json-abc", "state.json"]


def test_a_file_that_another_writer_is_still_writing_stays(tmp_path: Path) -> None:
    path, other = tmp_path / "state.json", tmp_path / ".state.json-abc"
    with other.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_state(path, {"new": 1})
        assert other.exists()
    write_state(path, {"new": 2})
    assert not other.exists()


def test_at_every_failing_call_the_file_is_whole_and_so_is_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, calls = tmp_path / "state.json", ("fsync", "link", "replace", "open")
    failed = 0
    for which in range(10):
        write_state(path, {"old": 0}, keep_previous=True)
        write_state(path, {"old": 1}, keep_previous=True)
        left = iter(range(which, -1, -1))
        with monkeypatch.context() as patched:
            for name in calls:
                patched.setattr(os, name, failing(getattr(os, name), left))
            try:
                write_state(path, {"new": 1}, keep_previous=True)
            except InvalidValueError:
                failed += 1
        assert read_state_file(path) in ({"old": 1}, {"new": 1})
        assert read_state_file(tmp_path / "state.json.previous") in ({"old": 0}, {"old": 1})
    # mkstemp's open, fsync, link, two renames, open and fsync of the folder.
    assert failed == 7


def failing(call: Callable[..., Any], left: Iterator[int]) -> Callable[..., Any]:
    """The call, until the count is used up; then it fails once."""

    def counted(*given: Any, **named: Any) -> Any:
        if next(left, -1) == 0:
            raise OSError("power cut")
        return call(*given, **named)

    return counted


def test_a_state_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_state(path, {"old": 1})
    with pytest.raises(InvalidValueError, match="plain JSON"):
        write_state(path, {"a": math.nan})
    with pytest.raises(InvalidValueError, match="could not be written"):
        write_state(tmp_path / "nowhere" / "state.json", {})
    assert read_state_file(path) == {"old": 1}


def test_a_crash_while_replacing_leaves_the_old_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    write_state(path, {"old": 1})

    def fail(*_: object) -> None:
        raise OSError("power cut")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patched, pytest.raises(InvalidValueError, match="power cut"):
            patched.setattr(os, name, fail)
            write_state(path, {"new": 1})
        assert read_state_file(path) == {"old": 1}
        assert os.listdir(tmp_path) == ["state.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b"[1]", "JSON object"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": ' + b"[" * 200_000, "not valid JSON"),
        (b" " * (2 << 20), "allowed"),
        (b"\xff\xfe", "not valid JSON"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "state.json").write_bytes(content)
    with pytest.raises(InvalidValueError, match=message):
        read_state_file(tmp_path / "state.json")


def test_missing_files_directories_and_pipes_are_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing.json", "pipe", "."):
        with pytest.raises(InvalidValueError):
            read_state_file(tmp_path / name)
