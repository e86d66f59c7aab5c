# SPDX-License-Identifier: Apache-2.0
"""The emergency stop at a driver: it stops the motions that no command gate sees, until a person lets it go on."""

from __future__ import annotations

from collections.abc import Callable

from pitaya_msgs.msg import GateStatus
from rclpy.node import Node
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from pitaya_nodes import qos
from pitaya_nodes.polled import waiting_messages


class EmergencyStop:
    """Hears the same word as the gate, and the gate itself: `true` on `emergency_stop`, or a gate that was stopped.

    One act of a person ends both: what the gate tells after its `~/clear`. A gate that was started anew knows of no
    stop, so its word ends none. Where no gate was stopped too, the driver's own `~/clear` does it.

    Attributes:
        reason: Why nothing may move and what ends it; empty while nothing is stopped.
    """

    def __init__(self, node: Node, on_stop: Callable[[str], None], on_clear: Callable[[], None]) -> None:
        """Listens from now on, in every state of the node's lifecycle.

        Args:
            node: The driver.
            on_stop: Holds the robot at once; told the reason.
            on_clear: Permits motion again, and moves nothing.
        """
        self.reason = ""
        self._node, self._on_stop, self._on_clear = node, on_stop, on_clear
        # Both, as at the gate: a reliable reader does not hear a best-effort stop button, the other may lose its word.
        buttons = [
            node.create_subscription(Bool, "emergency_stop", self._on_button, profile)
            for profile in (qos.COMMAND, qos.SENSOR)
        ]
        self._gate = node.create_subscription(
            GateStatus, "command_gate/status", self._on_gate, qos.EVERY_STATUS
        )
        self._inlets = [*((button, self._on_button) for button in buttons), (self._gate, self._on_gate)]
        self._stopped_gates: frozenset[bytes] = frozenset()
        self._gate_clear = node.resolve_service_name("command_gate/clear")
        self._clear = node.create_service(Trigger, "~/clear", self._on_request)

    def look(self) -> None:
        """Takes what has come; for a callback that keeps the executor from doing so while the robot moves."""
        for inlet, take in self._inlets:
            for message in waiting_messages(inlet):
                take(message)

    def _on_button(self, message: Bool) -> None:
        # False is no permission: only a person who clears the stop gives that.
        if message.data:
            self._stop("emergency stop on topic " + self._node.resolve_topic_name("emergency_stop"))

    def _on_gate(self, status: GateStatus) -> None:
        if status.mode == GateStatus.STOPPED:
            self._stopped_gates = self._gates()
            self._stop(f"the command gate is stopped: {status.reason}")
            return
        stopped, self._stopped_gates = self._stopped_gates, frozenset()
        if stopped and self._gates() <= stopped:
            self._end()

    def _on_request(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = not self._stopped_gates & self._gates()
        if response.success:
            self._end()
            response.message = "nothing is stopped"
        else:
            response.message = f"the command gate is stopped too: {self._gate_clear} ends both stops"
        return response

    def _gates(self) -> frozenset[bytes]:
        """Who may have told a gate's status: the publishers known now, each with an identity of its own."""
        told = self._node.get_publishers_info_by_topic(self._gate.topic_name)
        return frozenset(bytes(info.endpoint_gid) for info in told)

    def _stop(self, cause: str) -> None:
        if self.reason:
            return
        own = self._node.get_fully_qualified_name()
        self.reason = f"{cause}; {self._gate_clear} ends it, or {own}/clear where no gate was stopped"
        self._on_stop(self.reason)
        self._node.get_logger().error(f"stopped: {self.reason}")

    def _end(self) -> None:
        if self.reason:
            self.reason = ""
            self._on_clear()
            self._node.get_logger().info("a person has ended the emergency stop; nothing moves by that")
