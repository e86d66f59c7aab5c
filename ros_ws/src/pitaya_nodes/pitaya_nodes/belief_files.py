# SPDX-License-Identifier: Apache-2.0
"""Beliefs on disk: JSON, written whole or not at all, read with care."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.adapter import Adapter

LARGEST_BYTES = 1 << 20


def save_belief(adapter: Adapter, path: str) -> None:
    """Writes all that the adapter needs to go on; an interrupted write leaves the former file in place.

    Raises:
        InvalidValueError: If the file cannot be written.
    """
    target = _target(path)
    text = json.dumps(adapter.save(), indent=1, sort_keys=True, allow_nan=False) + "\n"
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=target.parent, prefix=f".{target.name}.", delete=False, encoding="utf-8"
        ) as file:
            temporary = file.name
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise InvalidValueError(f"cannot write belief {target}: {error.strerror or error}") from error


def load_belief(adapter: Adapter, path: str) -> None:
    """Lets the adapter go on from a file; on an error nothing changes.

    Raises:
        InvalidValueError: If there is no such file, it is damaged, or it belongs to another policy.
        NonFiniteError: If it holds NaN or infinity.
    """
    target = _target(path)
    try:
        with target.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise InvalidValueError(f"cannot read belief {target}: {error.strerror or error}") from error
    if len(data) > LARGEST_BYTES:
        raise InvalidValueError(f"belief {target} is larger than {LARGEST_BYTES} bytes")
    try:
        saved = json.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InvalidValueError(f"belief {target} is not JSON: {error}") from error
    if not isinstance(saved, dict):
        raise InvalidValueError(f"belief {target} must hold a JSON object, got {type(saved).__name__}")
    adapter.restore(saved)


def _target(path: str) -> Path:
    if not path or "\0" in path:
        raise InvalidValueError(f"path must name a JSON file, got {path!r}")
    return Path(path).expanduser().absolute()
