# SPDX-License-Identifier: Apache-2.0
"""The least a node on the control path can do: turn each message into one command and pass it on.

`python -m benchmarks.bare_relay state|command IN OUT` relays joint states or commands, whose stamp it keeps.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence

import rclpy
from pitaya_msgs.msg import JointCommand
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import JointState

from pitaya_nodes import qos
from pitaya_nodes.realtime import take_priority

COMMANDED = 9


class BareRelay(Node):
    """Joint state or command in, command out."""

    def __init__(self, kind: str, source: str, target: str) -> None:
        """Opens the two topics.

        Args:
            kind: `state` reads joint states as the policy does, `command` reads commands as the gate does.
            source: Topic that is read.
            target: Topic that is written.
        """
        super().__init__(f"bare_relay_{kind}")
        names = [f"joint{number}" for number in range(COMMANDED)]
        self._command = JointCommand(joint_names=names, position=array("d", [0.0] * COMMANDED))
        self._outlet = self.create_publisher(JointCommand, target, qos.COMMAND)
        read, profile = (JointState, qos.SENSOR) if kind == "state" else (JointCommand, qos.COMMAND)
        self.create_subscription(read, source, self._relay, profile)

    def _relay(self, message: JointState | JointCommand) -> None:
        self._command.header.stamp = message.header.stamp
        self._command.position = message.position[:COMMANDED]
        self._outlet.publish(self._command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    kind, source, target, realtime_priority = sys.argv[1:] if arguments is None else arguments
    rclpy.init()
    node = BareRelay(kind, source, target)
    take_priority(int(realtime_priority))
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
