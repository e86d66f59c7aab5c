# SPDX-License-Identifier: Apache-2.0
"""What is wrong on the ROS side of a robot: names, rate, stamps, quality of service, a second commander."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState

from meta_rl_core.runtime.checkup import Row
from meta_rl_core.runtime.robot_description import RobotDescription

COMMAND_TOPICS = ("joint_command", "executed_command", "forward_position_controller/commands")
_LISTEN = QoSProfile(depth=1000, reliability=ReliabilityPolicy.BEST_EFFORT)
_RATE_TOLERANCE = 0.2
_NANOSECONDS = 1_000_000_000


@dataclass
class Heard:
    """What was seen while listening.

    Attributes:
        duration_s: How long.
        states: Of each joint state: arrival [ns of the system clock], stamp [ns], names, whether all is finite.
        publishers: Names of the nodes that publish, by topic.
        simulated: Whether somebody publishes /clock.
    """

    duration_s: float
    states: list[tuple[int, int, tuple[str, ...], bool]] = field(default_factory=list)
    publishers: dict[str, list[str]] = field(default_factory=dict)
    simulated: bool = False


def listen(duration_s: float, namespace: str = "", domain: int | None = None) -> Heard:
    """Listens for a while; says nothing itself."""
    heard, context = Heard(duration_s), Context()
    rclpy.init(context=context, domain_id=domain)
    node = Node("pitaya_doctor", context=context, namespace=namespace)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def on_state(message: JointState) -> None:
        stamp_ns = message.header.stamp.sec * _NANOSECONDS + message.header.stamp.nanosec
        finite = bool(np.isfinite(message.position).all() and np.isfinite(message.velocity).all())
        heard.states.append((time.time_ns(), stamp_ns, tuple(message.name), finite))

    node.create_subscription(JointState, "joint_states", on_state, _LISTEN)
    try:
        end_s = time.monotonic() + duration_s
        while (left_s := end_s - time.monotonic()) > 0:
            executor.spin_once(timeout_sec=min(left_s, 0.05))
        for topic in ("joint_states", *COMMAND_TOPICS):
            infos = node.get_publishers_info_by_topic(node.resolve_topic_name(topic))
            heard.publishers[topic] = sorted(
                f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in infos
            )
        heard.simulated = bool(node.get_publishers_info_by_topic("/clock"))
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)
    return heard


def check_graph(heard: Heard, robot: RobotDescription) -> list[Row]:
    """Holds what was heard against the robot's description."""
    rows = _commanders(heard)
    sources = heard.publishers.get("joint_states", [])
    if not heard.states:
        said = (
            "published but not heard: other quality of service, domain or network"
            if sources
            else "nobody publishes it"
        )
        return [*rows, Row("joint_states", "fix", said, "start the robot's bring-up, then run this again")]
    if len(sources) > 1:
        rows.append(
            Row(
                "joint_states",
                "fix",
                f"published by {', '.join(sources)}: one must go",
                "ros2 topic info -v joint_states",
            )
        )
    return [*rows, *_names(heard, robot), _rate(heard, robot), _clock(heard, robot)]


def _commanders(heard: Heard) -> list[Row]:
    rows = []
    for topic in COMMAND_TOPICS:
        names = heard.publishers.get(topic, [])
        if len(names) > 1:
            said = f"{', '.join(names)} all publish {topic}: two commanders fight over the robot"
            rows.append(Row("second commander", "fix", said, f"ros2 topic info -v {topic}"))
    if not rows:
        one = sorted({name for topic in COMMAND_TOPICS for name in heard.publishers.get(topic, [])})
        rows.append(Row("commanders", "ok", ", ".join(one) or "none"))
    return rows


def _names(heard: Heard, robot: RobotDescription) -> list[Row]:
    wanted = set(robot.measured_names)
    missing = sorted({name for _, _, names, _ in heard.states for name in wanted - set(names)})
    rows = []
    if missing:
        got = ", ".join(heard.states[-1][2])
        said = f"{', '.join(missing)} are missing in joint states, which have {got}"
        rows.append(
            Row("joint names", "fix", said, "rename them in the driver, or remap with its own parameters")
        )
    if not all(finite for *_, finite in heard.states):
        rows.append(Row("joint states", "fix", "some hold NaN or infinity", "look at the driver's log"))
    return rows or [Row("joint names", "ok", f"all {len(wanted)} there")]


def _rate(heard: Heard, robot: RobotDescription) -> Row:
    arrivals = [arrival for arrival, *_ in heard.states]
    span_s = (arrivals[-1] - arrivals[0]) / _NANOSECONDS
    rate_hz = (len(arrivals) - 1) / span_s if span_s > 0 else 0.0
    said = f"{rate_hz:.1f} Hz, robot {robot.name} says {robot.state_hz:g} Hz"
    if abs(rate_hz / robot.state_hz - 1.0) <= _RATE_TOLERANCE or (heard.simulated and rate_hz > 0):
        return Row("joint state rate", "ok", said)
    return Row("joint state rate", "fix", said, "pitaya doctor --port PORT shows the cycle time of the bus")


def _clock(heard: Heard, robot: RobotDescription) -> Row:
    if heard.simulated:
        return Row("clock", "ok", "simulated time: stamps are not compared")
    ages_s = np.array([arrival - stamp for arrival, stamp, *_ in heard.states]) / _NANOSECONDS
    middle = float(np.median(ages_s))
    said = f"joint states are {1e3 * middle:.1f} ms old when they come"
    if abs(middle) <= robot.watchdogs.state_age_s:
        return Row("clock", "ok", said)
    return Row(
        "clock",
        "fix",
        f"{said}, at most {1e3 * robot.watchdogs.state_age_s:g} ms are allowed",
        "chronyc tracking on both machines",
    )
