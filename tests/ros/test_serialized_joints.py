# SPDX-License-Identifier: Apache-2.0
"""Serialized joint states and commands are read late, so what cannot be read must be a bad reading and nothing worse.

Those laid out as the one before are read by a shorter way, which must give the same bits or not be taken.
"""

import struct

import pytest
from pitaya_msgs.msg import JointCommand
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState

from meta_rl_core.errors import BadReadingError
from meta_rl_core.runtime.terms import JointReading
from pitaya_nodes.serialized_joints import SerializedReadings, stamp_ns

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
    return plain(SerializedReadings().reader(data)())


@pytest.fixture
def used() -> SerializedReadings:
    """A reader that knows how a state of the joints a and bc is laid out."""
    states = SerializedReadings()
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
    ids=str.split(
        "another-stamp other-order other-name other-frame more-joints no-velocity one-joint none other-lengths"
    ),
)
def test_what_was_read_before_changes_no_bit(used: SerializedReadings, data: bytes) -> None:
    assert plain(used.reader(data)()) == read(data)
    assert plain(used.reader(data)()) == read(data)


def test_every_length_of_names_and_frame_is_read_alike_both_ways() -> None:
    for length in range(1, 12):
        states = SerializedReadings()
        for stamp in (1, 2):
            data = serialized("x" * length, "é" * (length % 3), stamp=stamp, frame="f" * (length % 5))
            assert plain(states.reader(data)()) == read(data)


def test_a_message_in_the_other_byte_order_is_not_mistaken(used: SerializedReadings) -> None:
    data = bytearray(serialized("a", "bc"))
    data[1] ^= 1
    with pytest.raises(BadReadingError):
        used.reader(bytes(data))()


def test_a_number_that_is_not_finite_is_passed_on_to_be_refused(used: SerializedReadings) -> None:
    data = serialized("a", "bc", stamp=10)
    broken = data.replace(struct.pack("<d", 2.0), struct.pack("<d", float("inf")), 1)
    assert used.reader(broken)().position.tolist() == [1.0, float("inf")]


@pytest.mark.parametrize("knows", [False, True])
def test_every_joint_state_that_is_cut_off_is_a_bad_reading(knows: bool) -> None:
    data = bytes(serialize_message(JointState(name=["a", "b"], position=[1.0, 2.0])))
    states = SerializedReadings()
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


def test_a_length_that_a_flipped_bit_made_huge_is_a_bad_reading(used: SerializedReadings) -> None:
    data = bytearray(serialized("a", "bc"))
    data[15] ^= 0x7F  # the high byte of the length of the frame's name
    with pytest.raises(BadReadingError):
        used.reader(bytes(data))()


def command(*names: str, stamp: int = 7, frame: str = "") -> bytes:
    made = JointCommand(
        joint_names=list(names), position=[0.1 * stamp + index for index, _ in enumerate(names)]
    )
    made.header.stamp.sec, made.header.frame_id = stamp, frame
    return bytes(serialize_message(made))


def test_every_length_of_names_and_frame_of_a_command_is_read_alike_both_ways() -> None:
    for length in range(1, 12):
        commands = SerializedReadings(JointCommand)
        for stamp in (10, 20):
            data = command("x" * length, "é" * (length % 3), stamp=stamp, frame="f" * (length % 5))
            names = ("x" * length, "é" * (length % 3))
            assert plain(commands.read(data)) == (stamp * 10**9, names, [0.1 * stamp, 0.1 * stamp + 1.0])
            assert (commands._layout is not None) == (stamp >= 10)


def test_a_command_that_is_cut_off_is_a_bad_reading_that_says_so() -> None:
    data, commands = command("a", "bc"), SerializedReadings(JointCommand)
    for length in range(4, len(data)):
        commands.read(data)
        with pytest.raises(BadReadingError, match=f"a joint command of {length} bytes cannot be read"):
            commands.read(data[:length])


def test_what_happens_to_stand_in_the_padding_makes_no_difference(used: SerializedReadings) -> None:
    data = bytearray(serialized("a", "bc", stamp=9))
    known = used._layout
    assert known is not None
    padding = [index for index in range(12, known.begin) if not known.meaning >> 8 * (index - 12) & 255]
    # After the frame's name (5 of 8 bytes), "a" (6 of 8) and "bc" (7 of 8); then the count ends at a multiple of 8.
    assert len(padding) == 3 + 2 + 1
    for index in padding:
        data[index] ^= 0xA5
    assert plain(used.read(bytes(data))) == (9_000_000_005, ("a", "bc"), [0.9, 1.9])
    assert used._layout is known


def test_velocities_are_read_alike_both_ways_where_they_are_wanted() -> None:
    states = SerializedReadings(JointState, with_velocity=True)
    for stamp in (10, 20, 30):
        reading = states.read(serialized("a", "bc", stamp=stamp))
        assert reading.velocity is not None
        assert reading.velocity.tolist() == [0.1 * stamp, 0.1 * stamp + 1.0]
    assert states.read(serialized("a", "bc", velocity=False)).velocity is None
    assert read(serialized("a", "bc", stamp=10))[2] == [1.0, 2.0]
    assert SerializedReadings(JointState).read(serialized("a", "bc")).velocity is None


def test_velocities_of_another_count_are_passed_on_to_be_refused() -> None:
    states = SerializedReadings(JointState, with_velocity=True)
    states.read(serialized("a", "bc"))
    state = JointState(name=["a", "bc"], position=[1.0, 2.0], velocity=[3.0])
    for _ in range(2):
        velocity = states.read(bytes(serialize_message(state))).velocity
        assert velocity is not None
        assert velocity.tolist() == [3.0]
