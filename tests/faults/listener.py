# SPDX-License-Identifier: Apache-2.0
"""A node that only listens, to all that a robot and its gate say, until it is killed."""

from __future__ import annotations

import sys

import rclpy
from pitaya_msgs.msg import JointCommand
from rclpy.node import Node
from sensor_msgs.msg import JointState

from pitaya_nodes import qos


def main(name: str) -> None:
    """Listens for ever."""
    rclpy.init()
    node = Node(name)
    for kind, topic, profile in (
        (JointState, "joint_states", qos.EVERY_STATE),
        (JointCommand, "joint_command", qos.PAIRED),
        (JointCommand, "executed_command", qos.PAIRED),
    ):
        node.create_subscription(kind, topic, lambda _: None, profile)
    rclpy.spin(node)


if __name__ == "__main__":
    main(sys.argv[1])
