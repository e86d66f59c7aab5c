# SPDX-License-Identifier: Apache-2.0
"""Periods of motion come out of a recording as they went in, by stamp and by joint name."""

from pathlib import Path

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from pitaya_msgs.msg import JointCommand
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from meta_rl_core.families.dclaw_turn import CLAW_JOINTS, VALVE_JOINT
from pitaya_nodes.bag_writer import BagWriter
from pitaya_nodes.errors import RecordingError
from pitaya_nodes.recorded_steps import read_steps

JOINTS = (*CLAW_JOINTS, VALVE_JOINT)
PERIOD_NS = 100_000_000


def stamped(stamp_ns: int) -> Header:
    return Header(stamp=Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9))


def record(
    path: Path, stamps: list[int], states: np.ndarray, commands: np.ndarray, unanswered: int | None = None
) -> None:
    """States of all stamps and commands of all but the last and the unanswered one; joints in reverse order."""
    bag = BagWriter(path)
    outlets = {
        "/joint_states": bag.add_topic(
            "/joint_states", "sensor_msgs/msg/JointState", latched=False, reliable=False
        ),
        "/executed_command": bag.add_topic(
            "/executed_command", "pitaya_msgs/msg/JointCommand", latched=False, reliable=True
        ),
    }
    for index, stamp in enumerate(stamps):
        state = JointState(
            header=stamped(stamp),
            name=JOINTS[::-1],
            position=states[index, 9::-1].tolist(),
            velocity=states[index, :9:-1].tolist(),
            effort=[0.0] * 10,
        )
        bag.write(outlets["/joint_states"], stamp, serialize_message(state))
        if index < len(commands) and index != unanswered:
            command = JointCommand(
                header=stamped(stamp), joint_names=CLAW_JOINTS[::-1], position=commands[index, ::-1].tolist()
            )
            bag.write(outlets["/executed_command"], stamp, serialize_message(command))
    bag.close()


def test_periods_are_paired_by_stamp_and_a_gap_is_no_period(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    states, commands = 0.3 * generator.normal(size=(8, 20)), generator.normal(size=(7, 9))
    # Four states in a row, a reset that takes a second, and four more.
    stamps = [5 * 10**9 + PERIOD_NS * step for step in (0, 1, 2, 3, 13, 14, 15, 16)]
    record(tmp_path / "bag", stamps, states, commands)
    steps = read_steps(tmp_path / "bag")
    # The first command of each run has no former one, the last state of each run nothing that follows.
    np.testing.assert_array_equal(steps.before, states[[1, 2, 5, 6]])
    np.testing.assert_array_equal(steps.after, states[[2, 3, 6, 7]])
    np.testing.assert_array_equal(steps.former, commands[[0, 1, 4, 5]])
    np.testing.assert_array_equal(steps.command, commands[[1, 2, 5, 6]])


def test_a_reset_that_takes_no_time_is_no_motion(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    states, commands = 0.3 * generator.normal(size=(8, 20)), generator.normal(size=(7, 9))
    states[4, 9] = states[3, 9] + 0.5  # the valve starts elsewhere, one physics step later: 200 rad/s
    before = [5 * 10**9 + PERIOD_NS * step for step in range(4)]
    stamps = [*before, *(before[-1] + 2_500_000 + PERIOD_NS * step for step in range(4))]
    record(tmp_path / "bag", stamps, states, commands, unanswered=3)
    steps = read_steps(tmp_path / "bag")
    # Command 2 is the last one of before; the first one after the reset has no former one.
    np.testing.assert_array_equal(steps.before, states[[1, 2, 5, 6]])
    np.testing.assert_array_equal(steps.after, states[[2, 3, 6, 7]])


def test_a_recording_without_motion_says_what_is_missing(tmp_path: Path) -> None:
    record(tmp_path / "bag", [10**9], np.zeros((1, 20)), np.zeros((1, 9)))
    with pytest.raises(RecordingError, match="record joint_states and executed_command"):
        read_steps(tmp_path / "bag")
