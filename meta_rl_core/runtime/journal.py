# SPDX-License-Identifier: Apache-2.0
"""Keeps what an adaptation lives through on disk, off the control path: a bounded queue and a writing thread.

Whoever acts never waits for the disk. When the disk fails, the record suffers and `trouble` says so; the writer
tries again until it works, and every record holds the whole state, so the newest one makes up for those lost.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue

from meta_rl_core.errors import JournalError
from meta_rl_core.runtime.admission import Refused
from meta_rl_core.runtime.journal_file import JournalFile, Owner
from meta_rl_core.runtime.journal_rows import Adaptation, Ended, Numbered, Record, Restored
from meta_rl_core.runtime.journal_sync import RETRY_S, SLOW_S, JournalSync

CAPACITY = 1000
"""Items that wait at most; 100 s at 10 Hz."""
_MOST_AT_ONCE = 200
Monotonic = Callable[[], float]


class Journal:
    """One session of a policy node. All methods but `close` return at once.

    Attributes:
        path: The file.
        written: Items that were committed, so that they outlive the process.
        lost: Items that found the queue full.
    """

    def __init__(
        self,
        path: Path,
        owner: Owner,
        continues: Restored | None = None,
        lock: int | None = None,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        """Starts the writer; see `open_journal`.

        Args:
            path: SQLite file, made if missing.
            owner: Policy and hardware.
            continues: What an interrupted session left, if this one goes on from it.
            lock: A locked file descriptor to close at the end.
            monotonic: Clock [s] that never goes backwards.
        """
        self._lock = lock
        self.path = path
        self.written = self.lost = 0
        self._owner, self._continues, self._monotonic = owner, continues, monotonic
        self._queue: SimpleQueue[Numbered | None] = SimpleQueue()
        self._put = self._adaptation = 0
        self._spilled: Numbered | None = None
        self._error = ""
        self._writing_since_s: float | None = None
        self._closing = threading.Event()
        self._file: JournalFile | None = None
        self._session: int | None = None
        self._sync = JournalSync(path, monotonic)
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Items that are not committed yet."""
        return self._put - self.written

    @property
    def settled(self) -> bool:
        """Whether everything is on disk."""
        return self.waiting == 0 and self._spilled is None and self._sync.settled

    @property
    def trouble(self) -> str:
        """Why records do not reach the disk, in one sentence; empty while they do."""
        since_s = self._writing_since_s
        error = self._error or self._sync.trouble
        if not error and since_s is not None and self._monotonic() - since_s > SLOW_S:
            error = f"the disk has not answered for {self._monotonic() - since_s:.1f} s"
        if not error:
            return ""
        return f"journal {self.path} is not written: {error}; {self.waiting} items wait, {self.lost} are lost"

    def begin(self, adaptation: Adaptation) -> None:
        """Notes that a goal began; what follows belongs to it."""
        self._adaptation += 1
        self._offer(adaptation)

    def note(self, record: Record) -> None:
        """Keeps a state, and the transition that led to it."""
        self._offer(record)

    def refuse(self, refused: Refused) -> None:
        """Keeps why a transition did not count."""
        self._offer(refused)

    def end(self, outcome: str) -> None:
        """Notes how the goal ended."""
        self._offer(Ended(outcome))

    def close(self, how: str | None, timeout_s: float = 2.0) -> bool:
        """Writes what waits and stops; whether everything reached the disk in time.

        Args:
            how: Why the session is over, or None if it was interrupted and is to be restored.
            timeout_s: How long to wait for the disk [s].
        """
        self._closing.set()
        self._queue.put(None)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        done = self.waiting == 0 and self._spilled is None
        try:
            if self._file is not None and self._session is not None and how is not None:
                self._file.end_session(self._session, how)
                self._sync.request()
        except sqlite3.Error as error:
            self._error, done = str(error), False
        done &= self._sync.close(timeout_s)
        self._forget_file()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        return done

    def _offer(self, item: Adaptation | Ended | Record | Refused) -> None:
        numbered = Numbered(self._adaptation, item)
        if self.waiting >= CAPACITY:
            self.lost += 1
            if isinstance(item, Record):
                self._spilled = numbered
            return
        if isinstance(item, Record):
            self._spilled = None  # this newer state makes up for it
        self._put += 1
        self._queue.put(numbered)

    def _run(self) -> None:
        # The session begins at once: with what came back, or by giving up what was there.
        batch: list[Numbered] = []
        ending = False
        while True:
            while not self._write(batch):
                if self._closing.wait(RETRY_S):
                    return  # a disk that fails does not delay the end
            if ending:
                return
            batch, ending = self._collect()

    def _collect(self) -> tuple[list[Numbered], bool]:
        """What waits, at least one item; and whether the end was among it."""
        batch: list[Numbered] = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            if len(batch) == _MOST_AT_ONCE:
                return batch, False
            try:
                item = self._queue.get_nowait()
            except Empty:
                return batch, False
        return batch, True

    def _write(self, batch: list[Numbered]) -> bool:
        self._writing_since_s = self._monotonic()
        spilled = self._spilled if self.waiting == len(batch) else None
        try:
            if self._file is None:
                self._file = JournalFile(self.path, self._owner)
            items = batch if spilled is None else [*batch, spilled]
            self._session = self._file.append(self._session, items, self._continues)
        except (sqlite3.Error, OSError, JournalError) as error:
            self._error = str(error)
            self._forget_file()
            return False
        finally:
            self._writing_since_s = None
        if spilled is not None and self._spilled is spilled:
            self._spilled = None
        self._sync.request()
        self.written += len(batch)
        self._error = ""
        return True

    def _forget_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except sqlite3.Error as error:
                self._error = self._error or str(error)
