# SPDX-License-Identifier: Apache-2.0
"""`pitaya doctor --ros` names what is wrong on the ROS side, heard over real DDS."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pitaya_msgs.msg import JointCommand
from rclpy.context import Context
from rclpy.node import Node
from sensor_msgs.msg import JointState

from meta_rl_core.runtime.robot_description import RobotDescription
from meta_rl_core.runtime.robot_file import load_robot
from pitaya_nodes.ros_checkup import check_graph, listen

RATE_HZ = 100.0


@pytest.fixture(scope="module")
def robot(repository: Path) -> RobotDescription:
    return load_robot(repository / "config" / "robots" / "dclaw.yaml")


@contextmanager
def driver(
    domain: int,
    robot: RobotDescription,
    change: Callable[[JointState], None] = lambda _: None,
    rate_hz: float = RATE_HZ,
) -> Iterator[Node]:
    """A node that publishes joint states."""
    context, stop = Context(), threading.Event()
    context.init(domain_id=domain)
    node = Node("driver", context=context)
    outlet = node.create_publisher(JointState, "joint_states", 10)

    def publish() -> None:
        due_s = time.monotonic()
        while not stop.is_set():
            state = JointState(name=list(robot.measured_names), position=[0.0] * 10, velocity=[0.0] * 10)
            state.header.stamp = node.get_clock().now().to_msg()
            change(state)
            outlet.publish(state)
            due_s += 1.0 / rate_hz
            time.sleep(max(0.0, due_s - time.monotonic()))

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield node
    finally:
        stop.set()
        thread.join()
        node.destroy_node()
        context.try_shutdown()


def levels(domain: int, robot: RobotDescription) -> dict[str, tuple[str, str]]:
    return {row.subject: (row.level, row.found) for row in check_graph(listen(2.0, domain=domain), robot)}


def rename(state: JointState) -> None:
    state.name = ["index" if name == "ff_joint0" else name for name in state.name]


def age(state: JointState) -> None:
    state.header.stamp.sec -= 3


def test_silence_is_named(ros_domain_id: int, robot: RobotDescription) -> None:
    rows = check_graph(listen(0.6, domain=ros_domain_id), robot)
    assert [(row.subject, row.level) for row in rows] == [("commanders", "ok"), ("joint_states", "fix")]
    assert rows[1].found == "nobody publishes it"


@pytest.mark.parametrize(
    ("change", "subject", "said"),
    [
        (rename, "joint names", "ff_joint0 are missing in joint states"),
        (age, "clock", "at most 50 ms are allowed"),
    ],
)
def test_a_wrong_name_and_another_clock_are_named(
    ros_domain_id: int, robot: RobotDescription, change: Callable[[JointState], None], subject: str, said: str
) -> None:
    with driver(ros_domain_id, robot, change):
        level, found = levels(ros_domain_id, robot)[subject]
    assert level == "fix"
    assert said in found


def test_a_slow_driver_and_two_commanders_are_named(ros_domain_id: int, robot: RobotDescription) -> None:
    with driver(ros_domain_id, robot, rate_hz=5.0) as node:
        other = Node("other", context=node.context)
        for one in (node, other):
            one.create_publisher(JointCommand, "executed_command", 10)
        found = levels(ros_domain_id, robot)
        other.destroy_node()
    assert found["joint state rate"][0] == "fix"
    assert "robot dclaw says 100 Hz" in found["joint state rate"][1]
    assert found["second commander"] == (
        "fix",
        "/driver, /other all publish executed_command: two commanders fight over the robot",
    )
