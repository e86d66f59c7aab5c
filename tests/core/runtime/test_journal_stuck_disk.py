# SPDX-License-Identifier: Apache-2.0
"""A disk that does not answer costs a killed process nothing that it had committed; only a power cut would need it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.journals import GOAL, PATIENCE_S, bits, bits_of, open_one, records, until
from tests.helpers.preloads import build_preload

SOURCE = Path(__file__).parents[2] / "helpers" / "stuck_disk.c"
GOAL_STEPS = 25


def live(folder: Path) -> None:
    """What the process that is killed does: a transition every 20 ms, told once it was handed over."""
    journal, _ = open_one(folder)
    stream = records()
    journal.begin(GOAL)
    journal.note(next(stream))
    until(lambda: journal.settled)
    (folder / "stuck").touch()
    for _ in range(GOAL_STEPS - 1):
        time.sleep(0.02)
        journal.note(next(stream))
    until(lambda: "the disk has not answered" in journal.trouble)
    until(lambda: journal.waiting == 0)
    print("settled" if journal.settled else "not settled", flush=True)
    (folder / "stuck").unlink() if "recovers" in sys.argv else time.sleep(3600.0)
    until(lambda: journal.settled and not journal.trouble)
    print("settled" if journal.close(None, PATIENCE_S) else "not settled", flush=True)


@contextmanager
def process(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    library = build_preload(SOURCE, folder)
    environment = {**os.environ, "LD_PRELOAD": str(library), "STUCK_DISK_FILE": str(folder / "stuck")}
    command = [sys.executable, "-m", __name__, str(folder), *words]
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def restored_transitions(folder: Path) -> int:
    """What comes back after the end of such a process; to the bit what its last transition led to."""
    journal, restored = open_one(folder)
    journal.close("closed")
    assert restored is not None
    stream = records()
    for _ in range(restored.transitions):
        last = next(stream)
    assert bits(restored) == bits_of(last.state)
    return restored.transitions


@pytest.mark.parametrize("word", ["killed", "recovers"])
def test_nothing_committed_is_lost_while_the_disk_does_not_answer(tmp_path: Path, word: str) -> None:
    with process(tmp_path, word) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "not settled\n"  # as far as a power cut is concerned
        if word == "killed":
            child.send_signal(signal.SIGKILL)
            child.wait()
        else:
            assert child.stdout.readline() == "settled\n"
    assert restored_transitions(tmp_path) == GOAL_STEPS


if __name__ == "__main__":
    live(Path(sys.argv[1]))
