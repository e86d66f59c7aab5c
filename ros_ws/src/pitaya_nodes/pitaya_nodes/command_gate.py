# SPDX-License-Identifier: Apache-2.0
"""The last process before the robot: forwards sound commands, holds the robot when they stop coming."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray
from pitaya_msgs.msg import JointCommand
from rclpy.clock import Clock, ClockType
from std_msgs.msg import Float64MultiArray

from meta_rl_core.bundle import load_bundle
from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.terms import JointReading
from pitaya_nodes import convert, qos
from pitaya_nodes.command_check import CommandCheck, Verdict
from pitaya_nodes.managed_node import ManagedNode, run
from pitaya_nodes.parameters import Setting
from pitaya_nodes.polled import PolledStates

WATCH_PERIOD_S = 0.05
LONGEST_SILENCE_S = 0.5

SETTINGS = (
    Setting("bundle", "", "Directory of the policy bundle whose joints and limits commands must keep to."),
    Setting(
        "command_timeout_s",
        0.25,
        "When no sound command came for this long the measured position is held [s]; cannot be switched off.",
        low=0.02,
        high=LONGEST_SILENCE_S,
    ),
    Setting(
        "oldest_state_s",
        0.25,
        "A command is refused if the state it answers lies further than this behind the latest one [s].",
        low=0.0,
        high=LONGEST_SILENCE_S,
    ),
)


class CommandGate(ManagedNode):
    """Forwards commands that are fresh, finite, complete and within limits; refuses and counts all others.

    Time is that of the node: with use_sim_time the simulation's, so that lock-step never looks like silence;
    otherwise a steady clock, which no clock adjustment can stop.
    """

    def __init__(self) -> None:
        """Declares parameters."""
        super().__init__("command_gate", SETTINGS)
        self._states = self.diagnostics.monitor("joint_states")
        self._commands = self.diagnostics.monitor("joint_command")
        self._holds = self.diagnostics.monitor("holds")

    def configure(self) -> None:
        """Loads the limits and opens the topics.

        Raises:
            PitayaError: If the bundle must not be used.
        """
        if not self.value("bundle"):
            raise InvalidValueError("parameter bundle is empty: give the directory of a policy bundle")
        robot = load_bundle(self.value("bundle")).robot
        action = robot.action
        if self.value("command_timeout_s") <= robot.period_s:
            raise InvalidValueError(
                f"command_timeout_s must be longer than the policy's period of {robot.period_s:g} s, "
                f"got {self.value('command_timeout_s'):g} s"
            )
        self._check = CommandCheck(action, self.value("oldest_state_s"))
        self._timeout_ns = round(self.value("command_timeout_s") * convert.NANOSECONDS)
        self._early: JointReading | None = None
        self._last_ns: int | None = None
        self._executed = convert.command_message(action.joints)
        self._forward_outlet = self.outlet(
            Float64MultiArray, "forward_position_controller/commands", qos.CONTROLLER
        )
        self._executed_outlet = self.outlet(JointCommand, "executed_command", qos.PAIRED)
        self._polled = self.polled(PolledStates(self, "joint_states", qos.EVERY_STATE))
        self.listen(JointCommand, "joint_command", self._on_command, qos.COMMAND)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._simulated = bool(self.value("use_sim_time"))
        self._clock = self.get_clock() if self._simulated else steady
        self.made(self.create_timer(WATCH_PERIOD_S, self._watch, clock=steady), self.destroy_timer)

    def activate(self) -> None:
        """Permits forwarding; nothing is held until a first command was forwarded."""
        self._early, self._last_ns = None, None

    def deactivate(self) -> None:
        """Holds the measured position once, if anything was commanded."""
        if self._last_ns is not None:
            self._hold("the gate was deactivated")
        self._last_ns = None

    def _on_command(self, message: JointCommand) -> None:
        self._commands.came()
        if not self.active:
            self._commands.refuse("gate not active", "the gate is not active")
            return
        self._fetch_states()
        command = convert.reading_from_command(message)
        if self._is_early(command):
            # A command may overtake the state it answers: two topics have no common order.
            self._early = command
            return
        self._early = None
        self._pass(command)

    def _fetch_states(self) -> None:
        for stamp_ns, read in self._polled.fetch():
            self._states.came()
            self._check.measured(stamp_ns, read)

    def _is_early(self, command: JointReading) -> bool:
        latest_ns = self._check.latest_ns
        return latest_ns is None or command.stamp_ns > latest_ns

    def _pass(self, command: JointReading) -> None:
        verdict, position, reason = self._check.judge(command)
        if verdict is not Verdict.FORWARD or position is None:
            self._refuse(verdict, reason)
            return
        self._send(command.stamp_ns, position)
        self._last_ns = self._now_ns()

    def _send(self, stamp_ns: int, position: NDArray[np.float64]) -> None:
        self._executed.header.stamp = convert.time_message(stamp_ns)
        self._executed.position = array("d", position)
        self._executed_outlet.publish(self._executed)
        self._forward_outlet.publish(Float64MultiArray(data=self._executed.position))

    def _watch(self) -> None:
        self._fetch_states()
        if not self.active:
            return
        if self._early is not None and not self._is_early(self._early):
            command, self._early = self._early, None
            self._pass(command)
        if self._last_ns is None:
            return
        silent_ns = self._now_ns() - self._last_ns
        if silent_ns <= self._timeout_ns:
            return
        # Once: a target measured anew each time would let a robot creep.
        self._last_ns = None
        self._hold(f"no sound command for {silent_ns / convert.NANOSECONDS:.2f} s")

    def _now_ns(self) -> int:
        now_ns = int(self._clock.now().nanoseconds)
        if self._simulated:
            # The clock message may come after the state that it dates.
            return max(now_ns, self._check.latest_ns or 0)
        return now_ns

    def _hold(self, reason: str) -> None:
        target = self._check.hold()
        if target is None:
            return
        self._send(*target)
        self._holds.came()
        self.get_logger().info(f"holding the measured position: {reason}", throttle_duration_sec=10.0)

    def _refuse(self, verdict: Verdict, reason: str) -> None:
        self._commands.refuse(verdict.value, reason)
        self.get_logger().warning(f"command refused, {verdict.value}: {reason}", throttle_duration_sec=1.0)


def main() -> int:
    """Entry point."""
    return run(CommandGate)


if __name__ == "__main__":
    raise SystemExit(main())
