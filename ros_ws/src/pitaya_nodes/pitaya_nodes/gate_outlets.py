# SPDX-License-Identifier: Apache-2.0
"""Where commands leave the gate: stamped and by joint name, and as ros2_control's controllers take them."""

from __future__ import annotations

from collections.abc import Sequence

from pitaya_msgs.msg import JointCommand
from std_msgs.msg import Float64MultiArray

from pitaya_nodes import qos
from pitaya_nodes.managed_node import ManagedNode
from pitaya_nodes.prepared import Array, array_of, command_of

EXECUTED_TOPIC = "executed_command"
CONTROLLER_TOPIC = "forward_position_controller/commands"


class GateOutlets:
    """Both topics, silent unless the gate is active."""

    def __init__(self, node: ManagedNode, joints: Sequence[str]) -> None:
        """Opens them until the node is cleaned up.

        Args:
            node: The gate.
            joints: The commanded joints, A of them, in the order of what is sent.
        """
        self._executed, self._for_controller = command_of(joints), array_of(joints)
        self._controller_outlet = node.outlet(Float64MultiArray, CONTROLLER_TOPIC, qos.CONTROLLER)
        self._executed_outlet = node.outlet(JointCommand, EXECUTED_TOPIC, qos.PAIRED)

    def send(self, stamp_ns: int, position: Array) -> None:
        """Sends positions [rad], shape (A,), in answer to the state with this stamp [ns]."""
        self._executed_outlet.publish(self._executed.filled(stamp_ns, position))
        self._controller_outlet.publish(self._for_controller.filled(stamp_ns, position))
