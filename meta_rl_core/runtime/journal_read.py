# SPDX-License-Identifier: Apache-2.0
"""Reads from a journal what an interrupted session left."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice, takewhile
from pathlib import Path

from meta_rl_core.errors import JournalError, PitayaError
from meta_rl_core.runtime.journal_file import COLUMNS, Owner, connect, create_or_check
from meta_rl_core.runtime.journal_rows import (
    RECORD_COLUMNS,
    RESTORED,
    Earlier,
    Restored,
    SqlValue,
    row_digest,
    state_of,
    transition_of,
)

_MOST_SKIPPED = 1000
_EARLIER = 18
"""So many states are looked at on the way to the restored one."""


def read_interrupted(path: Path, owner: Owner) -> Restored | None:
    """What the latest session left, if it was interrupted and had anything to lose.

    Raises:
        JournalError: If that session was of another policy or hardware, or the file is damaged, no journal, or
            cannot be read.
    """
    if not path.is_symlink() and not path.exists():
        return None
    try:
        try:
            with closing(connect(path)) as database:
                return _read_interrupted(database, owner)
        except sqlite3.OperationalError:
            return _read_copy(path, owner)
    except OSError as error:
        raise JournalError(f"it cannot be read: {error}") from error
    except sqlite3.DatabaseError as error:
        raise JournalError(f"it is damaged: {error}") from error


def _read_copy(path: Path, owner: Owner) -> Restored | None:
    """A disk that cannot be written does not let SQLite open the file in place; a copy in memory it does."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="pitaya-journal-", dir=memory) as folder:
        for suffix in ("", "-wal"):
            if os.path.isfile(f"{path}{suffix}"):
                shutil.copyfile(f"{path}{suffix}", Path(folder, f"copy{suffix}"))
        with closing(connect(Path(folder, "copy"))) as database:
            return _read_interrupted(database, owner)


def _read_interrupted(database: sqlite3.Connection, owner: Owner) -> Restored | None:
    create_or_check(database)
    session = database.execute(
        "SELECT session, bundle_hash, hardware FROM session WHERE ended IS NULL ORDER BY session DESC LIMIT 1"
    ).fetchone()
    if session is None:
        return None
    restored = _latest_sound(database, int(session[0]), str(session[1]), owner)
    if restored is None or (restored.transitions == 0 and restored.ended):
        return None
    for what, found, ours in (
        ("policy with bundle hash", session[1], owner.bundle_hash),
        ("hardware", session[2], owner.hardware),
    ):
        if found != ours:
            raise JournalError(
                f"it holds an interrupted adaptation of {restored.transitions} transitions on the {what} "
                f"{found!r}, this is {ours!r}"
            )
    return restored


def _latest_sound(
    database: sqlite3.Connection, session: int, bundle_hash: str, owner: Owner
) -> Restored | None:
    rows = database.execute(
        f"SELECT {COLUMNS} FROM record WHERE session = ? ORDER BY record DESC LIMIT {_MOST_SKIPPED}",
        [session],
    )
    skipped = 0
    for *row, digest in rows:
        if row_digest(row) == digest:
            break
        skipped += 1
    else:
        if skipped:
            raise JournalError(f"its latest {skipped} records are damaged")
        return None
    values = dict(zip(RECORD_COLUMNS, row, strict=True))
    running = database.execute(
        "SELECT count(*) FROM adaptation WHERE session = ? AND adaptation = ? AND outcome IS NULL",
        [session, values["adaptation"]],
    ).fetchone()[0]
    try:
        state = state_of(row, bundle_hash, owner.prior_in_product)
        former = [list(values) for *values, _ in _sound(rows)]
        earlier = _earlier([row, *former], bundle_hash, owner.prior_in_product)
    except PitayaError as error:
        raise JournalError(str(error)) from error
    ended = not running and values["event"] != RESTORED
    return Restored(
        state, int(values["episode"]), int(values["stamp_ns"]), session, ended, skipped, tuple(row), earlier
    )


def _sound(rows: Iterable[tuple[SqlValue, ...]]) -> Iterator[tuple[SqlValue, ...]]:
    """The next rows, up to the first damaged one."""
    return takewhile(lambda row: row_digest(row[:-1]) == row[-1], islice(rows, _EARLIER - 1))


def _earlier(
    rows: Sequence[Sequence[SqlValue]], bundle_hash: str, prior_in_product: bool
) -> tuple[Earlier, ...]:
    """States from the newest back to the first that no transition led to, or the last one given; oldest first."""
    found: list[Earlier] = []
    for row in rows:
        values = dict(zip(RECORD_COLUMNS, row, strict=True))
        event, stamp_ns = values["event"], values["stamp_ns"]
        if event == "episode":  # it changes z alone
            continue
        item = transition_of(row) if event == "transition" else None
        found.append(Earlier(state_of(row, bundle_hash, prior_in_product), int(str(stamp_ns)), item))
        if item is None:
            break
    return tuple(reversed(found))
