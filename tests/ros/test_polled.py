# SPDX-License-Identifier: Apache-2.0
"""Serialized joint states are read late, so what cannot be read must be a bad reading and nothing worse."""

import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState

from meta_rl_core.errors import BadReadingError
from pitaya_nodes.polled import _reader


def test_every_joint_state_that_is_cut_off_is_a_bad_reading() -> None:
    data = bytes(serialize_message(JointState(name=["a", "b"], position=[1.0, 2.0])))
    assert list(_reader(data)().position) == [1.0, 2.0]
    refused = 0
    for length in range(4, len(data)):
        try:
            _reader(data[:length])()
        except BadReadingError as error:
            refused += 1
            assert f"a joint state of {length} bytes cannot be read" in str(error)
    # The last bytes are an empty sequence's length and padding; without what comes before nothing can be read.
    assert refused >= len(data) - 16


def test_a_length_that_a_flipped_bit_made_huge_is_a_bad_reading() -> None:
    data = bytearray(serialize_message(JointState(name=["a", "b"], position=[1.0, 2.0])))
    data[15] ^= 0x7F  # the high byte of the length of the frame's name
    with pytest.raises(BadReadingError):
        _reader(bytes(data))()
