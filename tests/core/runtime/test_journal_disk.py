# SPDX-License-Identifier: Apache-2.0
"""A disk that is full, locked, gone or cut off costs records, never a step, and what comes after heals the record."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from meta_rl_core.runtime.journal import CAPACITY, Journal
from meta_rl_core.runtime.journal_sync import _CHECKPOINT_BYTES
from tests.helpers.journals import GOAL, PATIENCE_S, bits, bits_of, keep, open_one, records, until


def test_a_disk_that_fails_costs_records_only_and_what_comes_after_it_heals(tmp_path: Path) -> None:
    journal, _ = open_one(tmp_path)
    journal.begin(GOAL)
    stream = records()
    journal.note(next(stream))
    until(lambda: journal.settled)
    blocker = sqlite3.connect(tmp_path / "j.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")  # as good as a full disk: no commit gets through
    for record in islice(stream, CAPACITY + 50):
        journal.note(record)
    until(lambda: "database is locked" in journal.trouble)
    assert journal.lost >= 40
    blocker.execute("ROLLBACK")
    blocker.close()
    until(lambda: journal.settled and not journal.trouble)
    assert journal.close(None, timeout_s=PATIENCE_S)
    journal, restored = open_one(tmp_path)
    journal.close("closed")
    assert restored is not None
    assert bits(restored) == bits_of(record.state)
    assert restored.transitions == CAPACITY + 51


def test_the_log_is_taken_over_into_the_database_while_writing_goes_on(tmp_path: Path) -> None:
    journal, _ = open_one(tmp_path)
    journal.begin(GOAL)
    log, largest = tmp_path / "j.sqlite-wal", 0
    for record in islice(records(), 1500):
        journal.note(record)
        until(lambda: journal.waiting == 0)
        largest = max(largest, log.stat().st_size)
    assert _CHECKPOINT_BYTES <= largest <= 4 * _CHECKPOINT_BYTES
    assert (tmp_path / "j.sqlite").stat().st_size > _CHECKPOINT_BYTES / 16
    assert journal.close(None, timeout_s=PATIENCE_S)
    journal, restored = open_one(tmp_path)
    journal.close("closed")
    assert restored is not None
    assert bits(restored) == bits_of(record.state)


def in_child(work: Callable[[], None]) -> int:
    """Runs something in a process of its own; gives its process id."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    return pid


def test_a_full_disk_degrades_the_record_until_there_is_room_again(tmp_path: Path) -> None:
    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        journal, _ = open_one(tmp_path)
        journal.begin(GOAL)
        stream = records()
        journal.note(next(stream))
        until(lambda: journal.settled)
        size = (tmp_path / "j.sqlite-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        took_s = []
        for record in islice(stream, 20):
            started_s = time.monotonic()
            journal.note(record)
            took_s.append(time.monotonic() - started_s)
        failed_s = time.monotonic()
        until(lambda: journal.trouble)
        assert time.monotonic() - failed_s < 5.0
        assert journal.lost == 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        until(lambda: journal.settled and not journal.trouble)

    assert os.waitstatus_to_exitcode(os.waitpid(in_child(work), 0)[1]) == 0
    journal, restored = open_one(tmp_path)
    journal.close("closed")
    assert restored is not None
    assert restored.transitions == 21


def test_an_interrupted_session_is_read_although_the_disk_cannot_be_written(tmp_path: Path) -> None:
    last = keep(tmp_path, 12)[-1]

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        (tmp_path / "j.sqlite-shm").unlink(missing_ok=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        from meta_rl_core.runtime import journal_read

        # The copy goes to memory, which this limit would forbid too.
        copy = journal_read._read_copy
        journal_read._read_copy = lambda *given: (
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)),
            copy(*given),
        )[1]
        journal, restored = open_one(tmp_path)
        assert restored is not None
        assert bits(restored) == bits_of(last.state)
        journal.close(None)

    assert os.waitstatus_to_exitcode(os.waitpid(in_child(work), 0)[1]) == 0


def test_a_killed_writer_leaves_what_it_had_committed(tmp_path: Path) -> None:
    from benchmarks.journal_kills import kill_writers

    outcome = kill_writers(tmp_path, kills=12, seed=1)
    assert outcome["unreadable"] == outcome["differing"] == 0
    assert outcome["kills"] == 12
    assert outcome["most_lost_s"] <= 1.0


def test_the_folder_may_be_missing_and_its_failure_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    journal, restored = open_one(tmp_path / "file")
    assert restored is None
    journal.note(next(records()))
    until(lambda: journal.trouble)
    assert "Not a directory" in journal.trouble or "File exists" in journal.trouble
    assert isinstance(journal, Journal)
    journal.close(None)
