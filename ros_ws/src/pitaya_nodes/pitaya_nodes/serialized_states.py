# SPDX-License-Identifier: Apache-2.0
"""Reads joint states that were kept serialized; those laid out as the one before are not taken apart again.

A serialized message (CDR, OMG formal/02-06-51) begins with four bytes on its encoding, the second of which tells the
byte order; a header goes on with seconds (int32) and nanoseconds (uint32). Strings and sequences begin with their
length (uint32), and numbers are aligned to their size, counted from the fifth byte on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState

from meta_rl_core.errors import BadReadingError
from meta_rl_core.runtime.terms import JointReading
from pitaya_nodes.convert import NANOSECONDS, reading_from_state

STAMP_END = 12
_LITTLE_ENDIAN = b"\x00\x01"
_ENCODING_BYTES = 4
_COUNT_BYTES, _NUMBER_BYTES = 4, 8


class _Layout(NamedTuple):
    """Where the positions lie in a message, and what else must be the same in one that is laid out alike."""

    names: tuple[str, ...]
    begin: int
    end: int
    before: bytes
    """From the stamp to the positions: frame, names and their counts."""
    velocity_count: bytes
    length: int


class SerializedStates:
    """Reads serialized joint states; remembers how the latest one was laid out."""

    def __init__(self) -> None:
        """Knows no layout yet."""
        self._layout: _Layout | None = None

    def reader(self, data: bytes) -> Callable[[], JointReading]:
        """How to read the positions of a message, which costs nothing unless it is called.

        The function that is given back raises `BadReadingError` if the message cannot be read.
        """
        return lambda: self._read(data)

    def _read(self, data: bytes) -> JointReading:
        layout = self._layout
        if layout is not None and _fits(data, layout):
            position = np.frombuffer(data, "<f8", len(layout.names), layout.begin)
            return JointReading(stamp_ns(data), layout.names, position, None)
        try:
            message = deserialize_message(data, JointState)
        except (rclpy_implementation.RMWError, UnicodeError) as error:
            # What cannot be taken apart is a bad reading like any other: it must not end the process.
            raise BadReadingError(f"a joint state of {len(data)} bytes cannot be read: {error}") from error
        self._layout = _layout(data, message)
        return reading_from_state(message, with_velocity=False)


def stamp_ns(data: bytes) -> int:
    """The stamp [ns] of a serialized message that begins with a header and has at least `STAMP_END` bytes."""
    order = "little" if data[1] & 1 else "big"
    seconds = int.from_bytes(data[4:8], order, signed=True)  # type: ignore[arg-type]
    return seconds * NANOSECONDS + int.from_bytes(data[8:STAMP_END], order)  # type: ignore[arg-type]


def _fits(data: bytes, layout: _Layout) -> bool:
    return (
        len(data) == layout.length
        and data[:2] == _LITTLE_ENDIAN
        and data[STAMP_END : layout.begin] == layout.before
        and data[layout.end : layout.end + _COUNT_BYTES] == layout.velocity_count
    )


def _layout(data: bytes, message: JointState) -> _Layout | None:
    """Where the positions were found, or None where that is not as the encoding has it."""
    count = len(message.position)
    if data[:2] != _LITTLE_ENDIAN or count == 0 or count != len(message.name):
        return None
    begin = _after_text(STAMP_END, message.header.frame_id)
    begin = _aligned(begin, _COUNT_BYTES) + _COUNT_BYTES
    for name in message.name:
        begin = _after_text(begin, name)
    begin = _aligned(_aligned(begin, _COUNT_BYTES) + _COUNT_BYTES, _NUMBER_BYTES)
    end = begin + count * _NUMBER_BYTES
    if len(data) < end or data[begin:end] != np.array(message.position, "<f8").tobytes():
        return None
    return _Layout(
        tuple(message.name),
        begin,
        end,
        data[STAMP_END:begin],
        data[end : end + _COUNT_BYTES],
        len(data),
    )


def _after_text(begin: int, text: str) -> int:
    return _aligned(begin, _COUNT_BYTES) + _COUNT_BYTES + len(text.encode()) + 1


def _aligned(offset: int, size: int) -> int:
    return _ENCODING_BYTES + -(-(offset - _ENCODING_BYTES) // size) * size
