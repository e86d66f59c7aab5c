# SPDX-License-Identifier: Apache-2.0
"""Serialized joint states are read late, so what cannot be read must be a bad reading and nothing worse.

Those laid out as the one before are read by a shorter way, which must give the same bits or not be taken.
"""

import struct

import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState

from meta_rl_core.errors import BadReadingError
from meta_rl_core.runtime.terms import JointReading
from pitaya_nodes.serialized_states import SerializedStates, stamp_ns

Reading = tuple[int, tuple[str, ...], list[float]]


def serialized(*names: str, stamp: int = 7, frame: str = "", velocity: bool = True) -> bytes:
    numbers = [0.1 * stamp + index for index, _ in enumerate(names)]
    state = JointState(name=list(names), position=numbers, velocity=numbers if velocity else [])
    state.header.stamp.sec, state.header.stamp.nanosec, state.header.frame_id = stamp, 5, frame
    return bytes(serialize_message(state))


def plain(reading: JointReading) -> Reading:
    return reading.stamp_ns, reading.names, reading.position.tolist()


def read(data: bytes) -> Reading:
    """By the long way: a reader that has seen no message before."""
    return plain(SerializedStates().reader(data)())


@pytest.fixture
def used() -> SerializedStates:
    """A reader that knows how a state of the joints a and bc is laid out."""
    states = SerializedStates()
    states.reader(serialized("a", "bc"))()
    return states


def test_a_state_tells_stamp_names_and_positions() -> None:
    assert read(serialized("a", "bc", stamp=10)) == (10_000_000_005, ("a", "bc"), [1.0, 2.0])
    assert stamp_ns(serialized("a", stamp=-1)) == -999_999_995


@pytest.mark.parametrize(
    "data",
    [
        serialized("a", "bc", stamp=9),
        serialized("bc", "a"),
        serialized("a", "bd"),
        serialized("a", "bc", frame="hand"),
        serialized("a", "bc", "d"),
        serialized("a", "bc", velocity=False),
        serialized("a"),
        serialized(),
        serialized("ab", "c"),
    ],
)
def test_what_was_read_before_changes_no_bit(used: SerializedStates, data: bytes) -> None:
    assert plain(used.reader(data)()) == read(data)
    assert plain(used.reader(data)()) == read(data)


def test_every_length_of_names_and_frame_is_read_alike_both_ways() -> None:
    for length in range(1, 12):
        states = SerializedStates()
        for stamp in (1, 2):
            data = serialized("x" * length, "é" * (length % 3), stamp=stamp, frame="f" * (length % 5))
            assert plain(states.reader(data)()) == read(data)


def test_a_message_in_the_other_byte_order_is_not_mistaken(used: SerializedStates) -> None:
    data = bytearray(serialized("a", "bc"))
    data[1] ^= 1
    with pytest.raises(BadReadingError):
        used.reader(bytes(data))()


def test_a_number_that_is_not_finite_is_passed_on_to_be_refused(used: SerializedStates) -> None:
    data = serialized("a", "bc", stamp=10)
    broken = data.replace(struct.pack("<d", 2.0), struct.pack("<d", float("inf")), 1)
    assert used.reader(broken)().position.tolist() == [1.0, float("inf")]


@pytest.mark.parametrize("knows", [False, True])
def test_every_joint_state_that_is_cut_off_is_a_bad_reading(knows: bool) -> None:
    data = bytes(serialize_message(JointState(name=["a", "b"], position=[1.0, 2.0])))
    states = SerializedStates()
    refused = 0
    for length in range(4, len(data)):
        if knows:
            assert states.reader(data)().position.tolist() == [1.0, 2.0]
        try:
            states.reader(data[:length])()
        except BadReadingError as error:
            refused += 1
            assert f"a joint state of {length} bytes cannot be read" in str(error)
    # The last bytes are an empty sequence's length and padding; without what comes before nothing can be read.
    assert refused >= len(data) - 16


def test_a_length_that_a_flipped_bit_made_huge_is_a_bad_reading(used: SerializedStates) -> None:
    data = bytearray(serialized("a", "bc"))
    data[15] ^= 0x7F  # the high byte of the length of the frame's name
    with pytest.raises(BadReadingError):
        used.reader(bytes(data))()
