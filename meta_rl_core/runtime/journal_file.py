# SPDX-License-Identifier: Apache-2.0
"""The journal's SQLite file: its schema, and appends that outlive the process."""

from __future__ import annotations

import sqlite3
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from meta_rl_core.errors import JournalError
from meta_rl_core.runtime.admission import Refused
from meta_rl_core.runtime.journal_rows import (
    RECORD_COLUMNS,
    Adaptation,
    Ended,
    Numbered,
    Record,
    Restored,
    continued_row,
    record_row,
)

SCHEMA_VERSION = 1
APPLICATION_ID = 0x50495459
"""Marks the file as a journal of Pitaya, in the header where the command `file` looks."""
KEPT_RECORDS, KEPT_REFUSALS = 1_000_000, 100_000
_BUSY_MS = 500
_NEVER_WRITTEN = (0, 0)
SCHEMA = (
    "CREATE TABLE session (session INTEGER PRIMARY KEY, bundle_hash TEXT NOT NULL, hardware TEXT NOT NULL, "
    "started_ns INTEGER NOT NULL, ended TEXT)",
    "CREATE TABLE adaptation (session INTEGER NOT NULL, adaptation INTEGER NOT NULL, seed INTEGER NOT NULL, "
    "sampling TEXT NOT NULL, exploration_episodes INTEGER NOT NULL, episodes INTEGER NOT NULL, "
    "steps_per_episode INTEGER NOT NULL, reset_belief INTEGER NOT NULL, started_ns INTEGER NOT NULL, "
    "outcome TEXT, PRIMARY KEY (session, adaptation))",
    "CREATE TABLE record (record INTEGER PRIMARY KEY, session INTEGER NOT NULL, adaptation INTEGER NOT NULL, "
    "event TEXT NOT NULL, episode INTEGER NOT NULL, step INTEGER NOT NULL, stamp_ns INTEGER NOT NULL, "
    "transitions INTEGER NOT NULL, evidence_precision BLOB NOT NULL, evidence_precision_mean BLOB NOT NULL, "
    "z BLOB, episodes_begun INTEGER NOT NULL, generator TEXT NOT NULL, observation BLOB, action BLOB, "
    "reward REAL, next_observation BLOB, sha256 BLOB NOT NULL)",
    "CREATE TABLE refusal (refusal INTEGER PRIMARY KEY, session INTEGER NOT NULL, adaptation INTEGER NOT NULL, "
    "episode INTEGER NOT NULL, step INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL)",
)
COLUMNS = ", ".join((*RECORD_COLUMNS, "sha256"))
_INSERT_RECORD = f"INSERT INTO record ({COLUMNS}) VALUES ({', '.join('?' * (len(RECORD_COLUMNS) + 1))})"


class Owner(NamedTuple):
    """Whose beliefs a journal holds: they mean nothing to another policy or on other hardware."""

    bundle_hash: str
    hardware: str
    prior_in_product: bool


class JournalFile:
    """An open journal, written by one thread. A session begins with the first append."""

    def __init__(self, path: Path, owner: Owner) -> None:
        """Opens or creates the file.

        Raises:
            sqlite3.Error: If the disk does not let it.
            OSError: If the folder cannot be made.
            JournalError: If the file is no journal of this version.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._owner = owner
        self._database = connect(path)
        try:
            # Readers never hold up the writer, nor does the disk: `JournalSync` sees to that commits reach it.
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute("PRAGMA wal_autocheckpoint = 0")
            self._database.execute(f"PRAGMA journal_size_limit = {16 << 20}")
            create_or_check(self._database)
        except BaseException:
            self._database.close()
            raise

    def append(self, session: int | None, items: Sequence[Numbered], continues: Restored | None) -> int:
        """Commits items, all or none; gives the session's number.

        Args:
            session: The session's number; None begins a new one.
            items: What to write, in order.
            continues: What a new session takes over; it becomes its first record.

        Raises:
            sqlite3.Error: If the disk does not let it; nothing was written.
        """
        with self._transaction() as database:
            if session is None:
                session = self._begin_session(continues)
            for adaptation, item in items:
                self._insert(database, session, adaptation, item)
            database.execute(
                "DELETE FROM record WHERE record <= (SELECT max(record) FROM record) - ?", [KEPT_RECORDS]
            )
            database.execute(
                "DELETE FROM refusal WHERE refusal <= (SELECT max(refusal) FROM refusal) - ?", [KEPT_REFUSALS]
            )
        return session

    def end_session(self, session: int, how: str) -> None:
        """Marks a session as over: it will not be restored.

        Raises:
            sqlite3.Error: If the disk does not let it.
        """
        with self._transaction() as database:
            database.execute("UPDATE session SET ended = ? WHERE session = ?", [how, session])

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._database
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def _begin_session(self, continues: Restored | None) -> int:
        """In one transaction the former session ends and its state becomes the first record of the new one."""
        cursor = self._database.execute(
            "INSERT INTO session (bundle_hash, hardware, started_ns) VALUES (?, ?, ?)",
            [self._owner.bundle_hash, self._owner.hardware, time.time_ns()],
        )
        number = int(cursor.lastrowid or 0)
        how = f"given up for session {number}" if continues is None else f"continued as session {number}"
        self._database.execute(
            "UPDATE session SET ended = ? WHERE ended IS NULL AND session < ?", [how, number]
        )
        if continues is not None:
            self._database.execute(_INSERT_RECORD, continued_row(number, continues))
        return number

    def _insert(
        self,
        database: sqlite3.Connection,
        session: int,
        adaptation: int,
        item: Adaptation | Ended | Record | Refused,
    ) -> None:
        if isinstance(item, Record):
            database.execute(_INSERT_RECORD, record_row(session, adaptation, item))
        elif isinstance(item, Refused):
            database.execute(
                "INSERT INTO refusal (session, adaptation, episode, step, reason, detail) VALUES (?, ?, ?, ?, ?, ?)",
                [session, adaptation, item.episode, item.step, item.reason.name.lower(), item.detail],
            )
        elif isinstance(item, Adaptation):
            database.execute(
                "INSERT INTO adaptation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                [session, adaptation, *item[:5], int(item.reset_belief), time.time_ns()],
            )
        else:
            database.execute(
                "UPDATE adaptation SET outcome = ? WHERE session = ? AND adaptation = ?",
                [item.outcome, session, adaptation],
            )


def connect(path: Path) -> sqlite3.Connection:
    """Opens a database that may have been made by somebody else.

    Raises:
        sqlite3.Error: If the disk does not let it.
        JournalError: If the path is a link or no regular file.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if not stat.S_ISREG(mode):
        raise JournalError(f"journal {path} must be a regular file, no link")
    database = sqlite3.connect(path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("PRAGMA cell_size_check = ON")
    database.execute("PRAGMA mmap_size = 0")
    return database


def create_or_check(database: sqlite3.Connection) -> None:
    """Creates the tables in an empty file; in any other they must be exactly these.

    Raises:
        JournalError: If it is no journal, or one of another version.
        sqlite3.Error: If the disk does not let it.
    """
    found = sorted(
        text for (text,) in database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
    )
    marks = tuple(
        database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if not found and marks == _NEVER_WRITTEN:
        database.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA:
            database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        database.execute("COMMIT")
    elif marks != (APPLICATION_ID, SCHEMA_VERSION) or found != sorted(SCHEMA):
        raise JournalError(
            f"it has application id {marks[0]} and schema version {marks[1]}; this Pitaya writes "
            f"{APPLICATION_ID} and {SCHEMA_VERSION} with its own tables and nothing else"
        )
