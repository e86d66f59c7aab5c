# SPDX-License-Identifier: Apache-2.0
"""Reads a bundle's files with suspicion: bounded, regular, no links, and tensors of plain float32."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from meta_rl_core.errors import InvalidValueError, NonFiniteError
from meta_rl_core.runtime.strict_json import parse_json

Array = NDArray[np.float64]
LARGEST_HEADER_BYTES = 1 << 20
MOST_TENSORS = 1000


def read_bounded(directory: Path, name: str, largest: int) -> bytes:
    """The whole content of one regular file.

    Raises:
        InvalidValueError: If it is missing, a link, not a regular file, unreadable or too large.
    """
    # O_NOFOLLOW refuses a link; O_NONBLOCK keeps a named pipe from blocking the robot for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(directory / name, flags)
    except OSError as error:
        hint = "it is a link" if (directory / name).is_symlink() else error.strerror
        raise InvalidValueError(f"{name} cannot be read: {hint}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidValueError(f"{name} must be a regular file")
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise InvalidValueError(f"{name} has more than the allowed {largest} bytes")
    return data


def sha256_of(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def tensor_shapes(name: str, data: bytes) -> dict[str, tuple[int, ...]]:
    """Names and shapes in a safetensors file, read from its header before any tensor is built.

    Raises:
        InvalidValueError: If the header is damaged or too large, or holds anything but float32 tensors.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= length <= min(LARGEST_HEADER_BYTES, len(data) - 8):
        raise InvalidValueError(f"{name} is not a safetensors file: its header length is {length}")
    try:
        header = parse_json(data[8 : 8 + length])
    except InvalidValueError as error:
        raise InvalidValueError(f"{name}: header {error}") from error
    if not 1 <= len(header) <= MOST_TENSORS:
        raise InvalidValueError(f"{name} must hold 1 to {MOST_TENSORS} tensors, got {len(header)}")
    return {key: _shape(name, key, entry) for key, entry in header.items()}


def _shape(name: str, key: str, entry: Any) -> tuple[int, ...]:
    if not isinstance(entry, dict) or entry.get("dtype") != "F32" or not isinstance(entry.get("shape"), list):
        raise InvalidValueError(
            f"{name}: {key[:200]!r} must be a float32 tensor, got {json.dumps(entry)[:200]}"
        )
    shape = entry["shape"]
    if len(shape) > 8 or not all(type(size) is int and 0 < size < 2**31 for size in shape):
        raise InvalidValueError(f"{name}: {key[:200]!r} has the impossible shape {str(shape)[:200]}")
    return tuple(shape)


def build_tensors(name: str, data: bytes, expected: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """The tensors as read-only float64 arrays.

    Args:
        name: File name for messages.
        data: Content of the file.
        expected: The shapes that `tensor_shapes` gave and the caller approved.

    Raises:
        InvalidValueError: If the file is damaged.
        NonFiniteError: If a number is NaN or infinite.
    """
    try:
        loaded = load_tensors(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise InvalidValueError(f"{name} is damaged: {error}") from error
    tensors = {}
    for key, shape in expected.items():
        array = loaded[key].astype(np.float64)
        if array.shape != shape:
            raise InvalidValueError(f"{name}: {key} has shape {array.shape}, its header says {shape}")
        if not np.isfinite(array).all():
            raise NonFiniteError(f"{name}: {key} holds NaN or infinity")
        array.flags.writeable = False
        tensors[key] = array
    return tensors
