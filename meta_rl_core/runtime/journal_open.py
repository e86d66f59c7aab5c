# SPDX-License-Identifier: Apache-2.0
"""Opens a journal: one process at a time, and whatever an interrupted session left comes back first."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from meta_rl_core.errors import JournalError
from meta_rl_core.runtime.journal import Journal
from meta_rl_core.runtime.journal_file import Owner
from meta_rl_core.runtime.journal_read import read_interrupted
from meta_rl_core.runtime.journal_rows import Restored


def open_journal(path: Path, owner: Owner, *, restore: bool = True) -> tuple[Journal, Restored | None]:
    """Starts a session, and gives what the session before left if it was interrupted.

    A disk that cannot be written does not stop this: the journal then says so in `Journal.trouble`.

    Args:
        path: SQLite file, made if missing.
        owner: Policy and hardware at hand.
        restore: Whether to look for an interrupted session; False gives it up.

    Raises:
        JournalError: If another process writes this journal, the interrupted session was of another policy or
            hardware, or the file is damaged, no journal, or cannot be read.
    """
    try:
        lock = _lock(path)
        try:
            restored = read_interrupted(path, owner) if restore else None
        except BaseException:
            if lock is not None:
                os.close(lock)
            raise
    except JournalError as error:
        raise JournalError(
            f"journal {path} refused: {error}. Go on with the policy and the robot it belongs to, name another "
            "folder, move the file away, or give up what it holds (journal_restore: false)"
        ) from error
    return Journal(path, owner, restored, lock), restored


def _lock(path: Path) -> int | None:
    """A lock that ends with this process, however it ends; None where the disk does not let one be made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(f"{path}.lock", flags, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise JournalError("another process writes it") from error
    except OSError:
        os.close(lock)
        return None
    return lock
