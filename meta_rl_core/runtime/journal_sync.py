# SPDX-License-Identifier: Apache-2.0
"""Brings what the journal committed from the kernel to the disk, in a thread of its own.

What is committed outlives the process; only a power cut needs the disk as well. A busy disk takes a second to say that
it has everything: commits that waited for that would let transitions wait in the process, where a kill loses them.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

RETRY_S = 0.25
SLOW_S = 0.5
"""A disk that has not answered for this long is in trouble [s]."""
_CHECKPOINT_BYTES = 4 << 20
"""From here on the write-ahead log is taken over into the database; SQLite's own default is as much."""


class JournalSync:
    """Synchronises the write-ahead log of one SQLite file. All methods but `close` return at once."""

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Starts the thread.

        Args:
            path: The database; its log lies beside it.
            monotonic: Clock [s] that never goes backwards.
        """
        self._path, self._log, self._monotonic = path, Path(f"{path}-wal"), monotonic
        self._asked = threading.Event()
        self._closing = threading.Event()
        self._wanted = self._done = 0
        self._error = ""
        self._since_s: float | None = None
        self._file: int | None = None
        self._thread = threading.Thread(target=self._run, name="journal sync", daemon=True)
        self._thread.start()

    @property
    def settled(self) -> bool:
        """Whether the disk has everything that was asked for."""
        return self._done == self._wanted

    @property
    def trouble(self) -> str:
        """Why the disk does not take it; empty while it does."""
        since_s = self._since_s
        if self._error or since_s is None or self._monotonic() - since_s <= SLOW_S:
            return self._error
        return f"the disk has not answered for {self._monotonic() - since_s:.1f} s"

    def request(self) -> None:
        """Asks for what was committed until now."""
        self._wanted += 1
        self._asked.set()

    def close(self, timeout_s: float) -> bool:
        """Does what was asked for and stops; whether that was done in time.

        Args:
            timeout_s: How long to wait for the disk [s].
        """
        self._closing.set()
        self._asked.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and self.settled

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            while not self.settled:
                if not self._synchronise(self._wanted) and self._closing.wait(RETRY_S):
                    break  # a disk that fails does not delay the end
            if self._closing.is_set():
                self._forget_log()
                return

    def _synchronise(self, wanted: int) -> bool:
        self._since_s = self._monotonic()
        try:
            os.fsync(self._open_log())
            if self._log.stat().st_size >= _CHECKPOINT_BYTES:
                self._take_over()
        except FileNotFoundError:
            pass  # the database was closed, which takes the log over and removes it
        except (OSError, sqlite3.Error) as error:
            self._error = str(error)
            return False
        finally:
            self._since_s = None
        self._done, self._error = wanted, ""
        return True

    def _open_log(self) -> int:
        """The log's descriptor: the same one as long as the file is, since it tells of errors only once."""
        if self._file is not None and not os.path.samestat(os.fstat(self._file), self._log.stat()):
            self._forget_log()
        if self._file is None:
            self._file = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
        return self._file

    def _forget_log(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _take_over(self) -> None:
        # By a connection of its own, which the writer does not wait for.
        database = sqlite3.connect(self._path, timeout=0.0)
        try:
            database.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            database.close()
