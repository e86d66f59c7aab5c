# SPDX-License-Identifier: Apache-2.0
"""Messages that are serialized once; later only stamp and numbers are written over, since a robot waits for them.

Taking a message object apart costs more than anything else on the way of a command. Where the numbers lie is looked up
in what the middleware itself makes of a message, so this module knows little of encodings: four bytes come first, then
a stamp, if any, of two little-endian numbers. A second message proves it; otherwise messages are published as objects.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pitaya_msgs.msg import JointCommand
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Float64MultiArray

from pitaya_nodes.convert import NANOSECONDS, command_message, fill_command, time_message
from pitaya_nodes.serialized_joints import STAMP_BEGIN

Array = NDArray[np.float64]
_STAMP = Struct("<iI")
_PROBE_NS, _OTHER_NS = 1_234_567_890_123_456_789, 987_654_321_012_345_678


class Prepared:
    """A message of which only the stamp and one sequence of numbers, always as long, ever change."""

    def __init__(self, make: Callable[[int, Array], Any], count: int, *, stamped: bool = True) -> None:
        """Serializes a message and finds its numbers.

        Args:
            make: Makes the message from a stamp [ns] and the numbers, shape (count,).
            count: How many numbers.
            stamped: Whether the message begins with a header.
        """
        self._make, self._stamped, self._bytes = make, stamped, count * 8
        probe: Array = np.arange(1.0, count + 1.0, dtype=np.float64) / 7.0
        message = make(_PROBE_NS, probe)
        self._data = _without_padding(bytes(serialize_message(message)), message)
        self._begin = self._data.find(probe.astype("<f8").tobytes())
        self.proven = self._begin >= 0 and count > 0 and self._is_right(-probe)

    def filled(self, stamp_ns: int, numbers: Array) -> Any:
        """The message with this stamp [ns] and these numbers, shape (count,): serialized where that is proven.

        What it gives can be published either way.
        """
        return self._written(stamp_ns, numbers) if self.proven else self._make(stamp_ns, numbers)

    def _written(self, stamp_ns: int, numbers: Array) -> bytes:
        data, begin = self._data, self._begin
        written = numbers.astype("<f8", copy=False).tobytes()
        if len(written) != self._bytes:
            raise ValueError(f"this message has {self._bytes // 8} numbers, got {len(written) // 8}")
        if self._stamped:
            _STAMP.pack_into(data, STAMP_BEGIN, *divmod(stamp_ns, NANOSECONDS))
        data[begin : begin + self._bytes] = written
        return bytes(data)

    def _is_right(self, numbers: Array) -> bool:
        message = self._make(_OTHER_NS, numbers)
        return _read_as(message, self._written(_OTHER_NS, numbers))


def _without_padding(data: bytes, message: Any) -> bytearray:
    """The same with zeros for bytes that mean nothing: the middleware leaves there what happens to be in memory."""
    zeroed = bytearray(data)
    for index in range(STAMP_BEGIN, len(data)):
        zeroed[index] = 0
        if data[index] and not _read_as(message, bytes(zeroed)):
            zeroed[index] = data[index]
    return zeroed


def _read_as(message: Any, data: bytes) -> bool:
    try:
        return bool(deserialize_message(data, type(message)) == message)
    except (rclpy_implementation.RMWError, UnicodeError):
        return False


def command_of(joints: Sequence[str]) -> Prepared:
    """A command of these joints [rad], stamped like the state that it answers."""

    def make(stamp_ns: int, position: Array) -> JointCommand:
        return fill_command(command_message(joints), time_message(stamp_ns), position)

    return Prepared(make, len(joints))


def array_of(joints: Sequence[str]) -> Prepared:
    """Positions of these joints [rad] as ros2_control's forward command controllers take them, without a stamp."""
    return Prepared(
        lambda _, position: Float64MultiArray(data=array("d", position)), len(joints), stamped=False
    )
