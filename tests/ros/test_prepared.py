# SPDX-License-Identifier: Apache-2.0
"""What is written over a prepared message must be what the middleware itself would have sent, bit for bit."""

import math
from array import array
from typing import Any

import numpy as np
import pytest
from pitaya_msgs.msg import JointCommand
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Float64MultiArray

from pitaya_nodes.convert import command_message, fill_command, time_message
from pitaya_nodes.prepared import Array, Prepared, array_of, command_of

NUMBERS = [0.0, -0.0, 1.5, math.pi, -math.inf, math.nan, 5e-324, 1.7976931348623157e308, -2.0]
STAMPS_NS = [0, 1, 999_999_999, 1_700_000_000_123_456_789, -1, (2**31 - 1) * 10**9]


def same(data: bytes, message: Any) -> bool:
    """Whether the middleware would have sent this; where it leaves what is in its memory, zeros may stand."""
    theirs, read = bytes(serialize_message(message)), deserialize_message(data, type(message))
    return all(mine in (0, other) for mine, other in zip(data, theirs, strict=True)) and all(
        bits(getattr(read, field)) == bits(getattr(message, field))
        for field in message.get_fields_and_field_types()
    )


def bits(value: Any) -> Any:
    """Numbers are compared by their bits, so that NaN equals itself and -0 is not 0."""
    return value.tobytes() if isinstance(value, array) else value


@pytest.mark.parametrize("count", range(1, 10))
def test_a_prepared_command_is_what_the_middleware_makes_of_it(count: int) -> None:
    joints = [("é" if index % 2 else "joint") * index + "x" for index in range(count)]
    prepared = command_of(joints)
    assert prepared.proven
    for stamp_ns in STAMPS_NS:
        numbers = np.roll(NUMBERS, count)[:count]
        message = fill_command(command_message(joints), time_message(stamp_ns), numbers)
        assert same(prepared.filled(stamp_ns, numbers), message)


def test_every_process_sends_the_same_bytes_whatever_was_in_its_memory() -> None:
    joints = ["x", "joint", "jointjoint"]
    sent = set()
    for filler in range(64):
        junk = [bytes([filler + 1]) * length for length in range(16, 512, 3)]
        del junk
        sent.add(command_of(joints).filled(7, np.ones(3)))
    assert len(sent) == 1


def test_it_is_read_back_with_names_stamp_and_positions() -> None:
    read = deserialize_message(
        command_of(["a", "b"]).filled(3_000_000_004, np.array([0.25, -1.0])), JointCommand
    )
    assert (read.header.stamp.sec, read.header.stamp.nanosec) == (3, 4)
    assert (list(read.joint_names), list(read.position)) == (["a", "b"], [0.25, -1.0])


def test_numbers_without_a_stamp_are_what_the_middleware_makes_of_them() -> None:
    prepared, numbers = array_of("abc"), np.array([0.5, 0.25, math.nan])
    assert prepared.proven
    assert same(prepared.filled(7, numbers), Float64MultiArray(data=array("d", numbers)))


def test_what_was_handed_out_before_keeps_its_numbers() -> None:
    prepared = command_of(["a"])
    first = prepared.filled(1, np.array([1.0]))
    prepared.filled(2, np.array([2.0]))
    assert list(deserialize_message(first, JointCommand).position) == [1.0]


def test_numbers_that_do_not_lie_side_by_side_or_are_of_another_type_are_written_alike() -> None:
    prepared = command_of(["a", "b"])
    expected = prepared.filled(1, np.array([1.0, 3.0]))
    assert prepared.filled(1, np.array([1.0, 2.0, 3.0])[::2]) == expected
    assert prepared.filled(1, np.array([1, 3], dtype=np.float32)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_joints_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"this message has 2 numbers, got {count}"):
        command_of(["a", "b"]).filled(1, np.zeros(count))


def test_a_message_of_which_more_changes_is_published_as_an_object() -> None:
    def with_frame(stamp_ns: int, position: Array) -> JointCommand:
        message = fill_command(command_message(["a"]), time_message(stamp_ns), position)
        message.header.frame_id = str(stamp_ns)
        return message

    prepared = Prepared(with_frame, 1)
    assert not prepared.proven
    filled = prepared.filled(5, np.array([0.5]))
    assert isinstance(filled, JointCommand)
    assert (filled.header.frame_id, filled.header.stamp.nanosec, list(filled.position)) == ("5", 5, [0.5])


def test_numbers_that_the_message_rounds_are_published_as_an_object() -> None:
    def rounded(stamp_ns: int, position: Array) -> JointCommand:
        return fill_command(command_message(["a"]), time_message(stamp_ns), np.round(position, 3))

    assert list(Prepared(rounded, 1).filled(5, np.array([0.12345])).position) == [0.123]
