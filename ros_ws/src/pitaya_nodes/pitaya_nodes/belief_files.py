# SPDX-License-Identifier: Apache-2.0
"""Beliefs on disk: JSON, written whole or not at all, the one before kept, read with care."""

from __future__ import annotations

from pathlib import Path

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.adapter import Adapter
from meta_rl_core.runtime.state_file import PREVIOUS, read_state_file, write_state


def save_belief(adapter: Adapter, path: str) -> None:
    """Writes all that the adapter needs to go on; an interrupted write leaves the former file in place.

    Raises:
        InvalidValueError: If the file cannot be written.
    """
    target = _target(path)
    try:
        write_state(target, adapter.save(), keep_previous=True)
    except InvalidValueError as error:
        raise InvalidValueError(f"cannot write belief: {error}") from error


def load_belief(adapter: Adapter, path: str) -> None:
    """Lets the adapter go on from a file; on an error nothing changes.

    Raises:
        InvalidValueError: If there is no such file, it is damaged, or it belongs to another policy.
        NonFiniteError: If it holds NaN or infinity.
    """
    target = _target(path)
    try:
        saved = read_state_file(target)
    except InvalidValueError as error:
        previous = target.with_name(target.name + PREVIOUS)
        hint = f"; the one before it is {previous}" if previous.is_file() else ""
        raise InvalidValueError(f"cannot read belief: {error}{hint}") from error
    adapter.restore(saved)


def _target(path: str) -> Path:
    if not path or "\0" in path:
        raise InvalidValueError(f"path must name a JSON file, got {path!r}")
    return Path(path).expanduser().absolute()
