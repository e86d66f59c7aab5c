# SPDX-License-Identifier: Apache-2.0
"""Reads serialized joint states and commands; those laid out as the one before are not taken apart again.

A serialized message (CDR, OMG formal/02-06-51) begins with four bytes on its encoding, the second of which tells the
byte order; a header goes on with seconds (int32) and nanoseconds (uint32). Strings and sequences begin with their
length (uint32), and numbers are aligned to their size, counted from the fifth byte on. Joint states and commands go on
alike with names and positions; a state has velocities and efforts after them, a command has nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pitaya_msgs.msg import JointCommand
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState

from meta_rl_core.errors import BadReadingError
from meta_rl_core.runtime.terms import JointReading
from pitaya_nodes.convert import NANOSECONDS, reading_from_command, reading_from_state

Array = NDArray[np.float64]
STAMP_BEGIN, STAMP_END = 4, 12
_LITTLE_ENDIAN = b"\x00\x01"
_ENCODING_BYTES = 4
_COUNT_BYTES, _NUMBER_BYTES = 4, 8
_STAMPS = {"little": Struct("<iI"), "big": Struct(">iI")}
_LITTLE_STAMP = _STAMPS["little"]


class _Layout(NamedTuple):
    """Where the numbers lie in a message, and what else must be the same in one that is laid out alike."""

    names: tuple[str, ...]
    begin: int
    end: int
    velocity_begin: int | None
    """Where as many velocities lie; None where they are absent or not wanted."""
    before: int
    """From the stamp to the positions: frame, names and their counts, as one number."""
    meaning: int
    """Mask of those of its bytes that mean something; the others are padding, whatever was in memory."""
    velocity_count: bytes
    """What follows the positions; empty in a command."""
    length: int


class SerializedReadings:
    """Reads serialized messages of one topic; remembers how the latest one was laid out."""

    def __init__(
        self, kind: type[JointState] | type[JointCommand] = JointState, *, with_velocity: bool = False
    ) -> None:
        """Knows no layout yet.

        Args:
            kind: Type of the messages.
            with_velocity: Whether velocities are wanted of joint states that have them.
        """
        self._kind, self._with_velocity = kind, with_velocity
        self._layout: _Layout | None = None

    def reader(self, data: bytes) -> Callable[[], JointReading]:
        """How to read a message, which costs nothing unless it is called; see `read`."""
        return lambda: self.read(data)

    def read(self, data: bytes) -> JointReading:
        """Stamp, names, positions [rad] and, where wanted and there, velocities [rad/s], in the sender's order.

        Raises:
            BadReadingError: If the message cannot be read.
        """
        layout = self._layout
        if layout is None or not _fits(data, layout):
            return self._take_apart(data)
        names, count = layout.names, len(layout.names)
        seconds, rest = _LITTLE_STAMP.unpack_from(data, STAMP_BEGIN)
        position = np.frombuffer(data, "<f8", count, layout.begin)
        begin = layout.velocity_begin
        velocity = None if begin is None else np.frombuffer(data, "<f8", count, begin)
        return JointReading(seconds * NANOSECONDS + rest, names, position, velocity)

    def _take_apart(self, data: bytes) -> JointReading:
        what = "joint state" if self._kind is JointState else "joint command"
        try:
            message = deserialize_message(data, self._kind)
        except (rclpy_implementation.RMWError, UnicodeError) as error:
            # What cannot be taken apart is a bad reading like any other: it must not end the process.
            raise BadReadingError(f"a {what} of {len(data)} bytes cannot be read: {error}") from error
        if self._kind is JointState:
            reading = reading_from_state(message, with_velocity=self._with_velocity)
        else:
            reading = reading_from_command(message)
        has_more = self._kind is JointState
        self._layout = _layout(data, message.header.frame_id, reading, has_more=has_more)
        return reading


def stamp_ns(data: bytes) -> int:
    """The stamp [ns] of a serialized message that begins with a header and has at least `STAMP_END` bytes."""
    seconds, rest = _STAMPS["little" if data[1] & 1 else "big"].unpack_from(data, STAMP_BEGIN)
    return int(seconds) * NANOSECONDS + int(rest)


def _fits(data: bytes, layout: _Layout) -> bool:
    end, count = layout.end, layout.velocity_count
    return (
        len(data) == layout.length
        and data[:2] == _LITTLE_ENDIAN
        and int.from_bytes(data[STAMP_END : layout.begin], "little") & layout.meaning == layout.before
        and data[end : end + len(count)] == count
    )


def _layout(data: bytes, frame: str, reading: JointReading, *, has_more: bool) -> _Layout | None:
    """Where the numbers were found, or None where that is not as the encoding has it."""
    count = len(reading.position)
    if data[:2] != _LITTLE_ENDIAN or count == 0 or count != len(reading.names):
        return None
    begin, meaning = _before_numbers(frame, reading.names)
    end = begin + count * _NUMBER_BYTES
    velocity_begin = _aligned(end + _COUNT_BYTES, _NUMBER_BYTES) if reading.velocity is not None else None
    if not (_stand(data, begin, reading.position) and _stand(data, velocity_begin, reading.velocity)):
        return None
    following = data[end : end + _COUNT_BYTES] if has_more else b""
    if reading.velocity is not None and len(reading.velocity) != count:
        return None
    before = int.from_bytes(data[STAMP_END:begin], "little") & meaning
    return _Layout(reading.names, begin, end, velocity_begin, before, meaning, following, len(data))


def _stand(data: bytes, begin: int | None, numbers: Array | None) -> bool:
    """Whether these numbers, if any, lie there."""
    if begin is None or numbers is None:
        return True
    return data[begin : begin + len(numbers) * _NUMBER_BYTES] == numbers.astype("<f8").tobytes()


def _before_numbers(frame: str, names: Sequence[str]) -> tuple[int, int]:
    """Where the numbers begin, and a mask of what means something between the stamp and them."""
    count = _COUNT_BYTES
    texts = [count + len(text.encode()) + 1 for text in (frame, *names)]
    offset, meaning = STAMP_END, 0
    for length in (texts[0], count, *texts[1:], count):
        begin = _aligned(offset, _COUNT_BYTES)
        offset = begin + length
        meaning |= (256**length - 1) << 8 * (begin - STAMP_END)
    return _aligned(offset, _NUMBER_BYTES), meaning


def _aligned(offset: int, size: int) -> int:
    return _ENCODING_BYTES + -(-(offset - _ENCODING_BYTES) // size) * size
