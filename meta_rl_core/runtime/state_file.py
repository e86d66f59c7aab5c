# SPDX-License-Identifier: Apache-2.0
"""Writes and reads small JSON state so that a crash leaves the old file or the new one, never half of one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.strict_json import canonical_json, parse_json

LARGEST_STATE_BYTES = 1 << 20


PREVIOUS = ".previous"
"""Added to the name of the file that was replaced last."""


def write_state(path: str | Path, state: Mapping[str, Any], *, keep_previous: bool = False) -> None:
    """Replaces the file at `path` by the state, durably.

    Args:
        path: The file.
        state: A JSON object.
        keep_previous: Whether the file that is replaced stays, with `PREVIOUS` added to its name.

    Raises:
        InvalidValueError: If the state is not plain JSON, or the file cannot be written; an old file stays.
    """
    target = Path(path)
    data = canonical_json(state) + b"\n"
    try:
        _sweep(target)
        descriptor, temporary = _open_temporary(target)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if keep_previous and target.is_file():
                _keep(target)
            os.replace(temporary, target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise InvalidValueError(f"the state could not be written to {target}: {error}") from error


def _open_temporary(target: Path) -> tuple[int, str]:
    """A new file beside the target, locked for as long as it is open: nobody sweeps it away."""
    while True:
        descriptor, path = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
        with contextlib.suppress(OSError):  # where files cannot be locked nobody sweeps either
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, path
        os.close(descriptor)  # somebody swept it away before it was locked


def _sweep(target: Path) -> None:
    """Removes what a writer of this file left behind when it was killed: the lock ends with the process."""
    with os.scandir(target.parent) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(f".{target.name}-")]
    for name in names:
        with contextlib.suppress(OSError):
            descriptor = os.open(target.with_name(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(target.with_name(name))
            finally:
                os.close(descriptor)


def _keep(target: Path) -> None:
    """Gives a file a second name, so that at any moment there is a whole file under the first one."""
    second = target.with_name(f".{target.name}-{os.getpid()}{PREVIOUS}")
    second.unlink(missing_ok=True)
    os.link(target, second, follow_symlinks=False)
    os.replace(second, target.with_name(target.name + PREVIOUS))


def read_state_file(path: str | Path) -> dict[str, Any]:
    """Reads what `write_state` wrote; the content is still to be checked by whoever uses it.

    Raises:
        InvalidValueError: If the file is missing, not a regular file, too large or not a JSON object.
    """
    target = Path(path)
    try:
        # O_NONBLOCK keeps a named pipe from blocking for ever.
        descriptor = os.open(target, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InvalidValueError(f"{target} must be a regular file")
            data = file.read(LARGEST_STATE_BYTES + 1)
    except OSError as error:
        raise InvalidValueError(f"{target} cannot be read: {error.strerror}") from error
    if len(data) > LARGEST_STATE_BYTES:
        raise InvalidValueError(f"{target} has more than the allowed {LARGEST_STATE_BYTES} bytes")
    try:
        return parse_json(data)
    except InvalidValueError as error:
        raise InvalidValueError(f"{target}: {error}") from error
