# SPDX-License-Identifier: Apache-2.0
"""Mode of a node on ~/status and /diagnostics, emergency stop and clearing: the supervisor's link to ROS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.node import Node
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from meta_rl_core.runtime.supervisor import Action, Flags, Limits, Mode, Outcome, State, supervise
from pitaya_nodes import qos
from pitaya_nodes.managed_node import at_most_every

_LEVELS = {
    Mode.HOLD: DiagnosticStatus.WARN,
    Mode.FAULT: DiagnosticStatus.ERROR,
    Mode.STOPPED: DiagnosticStatus.ERROR,
}


class Modes:
    """Supervises one node. Emergency stop and clearing work in every state of its lifecycle.

    Attributes:
        limits: When to hold and when to give up; replaced when the node is configured.
    """

    def __init__(
        self,
        node: Node,
        now_ns: Callable[[], int],
        on_change: Callable[[Mode, str], None],
        on_hold: Callable[[str], None],
        *,
        stoppable: bool = True,
    ) -> None:
        """Listens to the emergency stop from now on.

        Args:
            node: A managed node.
            now_ns: Its clock for deadlines [ns].
            on_change: Told mode and reason whenever one of them changes.
            on_hold: Commands the measured position; told why.
            stoppable: Whether to listen to the emergency stop; false where another node stops the robot.
        """
        self.limits = Limits()
        self._node: Any = node
        self._now_ns, self._on_change, self._on_hold = now_ns, on_change, on_hold
        self._state = State()
        self._stop = ""
        # Both, for a reliable reader does not hear a best-effort stop button and the other way round may lose one.
        for profile in (qos.COMMAND, qos.SENSOR) if stoppable else ():
            node.create_subscription(Bool, "emergency_stop", self._on_stop, profile)
        node.create_service(Trigger, "~/clear", self._on_clear)
        self._node.diagnostics.add(self._line)
        # The first such line that a process logs takes 40 ms, which a hold must not wait for.
        node.get_logger().info("supervised: nothing moves yet", **at_most_every(1.0))

    @property
    def mode(self) -> Mode:
        """The present mode."""
        return self._state.mode

    @property
    def good_ns(self) -> int:
        """When the newest sound joint state came, by the node's clock for deadlines [ns]; 0 before the first."""
        return self._state.good_ns or 0

    @property
    def missed(self) -> int:
        """Deadlines missed in a row so far."""
        return self._state.missed

    @property
    def reason(self) -> str:
        """Why it is in this mode."""
        return self._state.reason

    def update(self, **flags: Any) -> Outcome:
        """Tells the supervisor what was seen; commands a hold and reports a change if that follows."""
        before = self._state
        told = Flags(active=self._node.active, **flags)
        outcome = supervise(self._now_ns(), told, before, self.limits)
        self._state = outcome.state
        if outcome.action is Action.HOLD:
            self._on_hold(outcome.reason)
        if (before.mode, before.reason) != (outcome.state.mode, outcome.reason):
            self._log(before.mode, outcome)
            self._on_change(outcome.state.mode, outcome.reason)
        return outcome

    def stop(self, reason: str) -> None:
        """Stops until a person clears it."""
        self.update(stop=reason)

    def _on_stop(self, message: Bool) -> None:
        # False is no permission: only a person who clears the stop gives that.
        if message.data and self.mode is not Mode.STOPPED:
            self.stop("emergency stop on topic " + self._node.resolve_topic_name("emergency_stop"))

    def _on_clear(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.update(clear=True)
        response.success = self.mode < Mode.FAULT
        response.message = f"{self.mode.name}: {self.reason}"
        return response

    def _log(self, before: Mode, outcome: Outcome) -> None:
        logger, text = self._node.get_logger(), f"{outcome.state.mode.name}: {outcome.reason}"
        if outcome.state.mode >= Mode.FAULT:
            logger.error(text)
        elif Mode.HOLD in (before, outcome.state.mode):
            logger.warning(text, **at_most_every(1.0))

    def _line(self) -> DiagnosticStatus:
        mode = self.mode
        return DiagnosticStatus(
            name="mode",
            level=_LEVELS.get(mode, DiagnosticStatus.OK),
            message=self.reason,
            values=[KeyValue(key="mode", value=mode.name)],
        )
