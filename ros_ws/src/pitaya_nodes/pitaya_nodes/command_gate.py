# SPDX-License-Identifier: Apache-2.0
"""The last process before the robot: forwards sound commands, holds the robot when they stop coming."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from pitaya_msgs.msg import GateStatus, JointCommand
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from meta_rl_core.errors import BadReadingError
from meta_rl_core.runtime.safety_filter import soft_start
from meta_rl_core.runtime.supervisor import Action, Mode
from meta_rl_core.runtime.terms import JointReading
from pitaya_nodes import convert, qos
from pitaya_nodes.applied_commands import APPLIED_TOPIC, AppliedCommands
from pitaya_nodes.command_check import Decision, Verdict
from pitaya_nodes.commanders import Commanders
from pitaya_nodes.early_command import EarlyCommand
from pitaya_nodes.gate_outlets import CONTROLLER_TOPIC, EXECUTED_TOPIC, GateOutlets
from pitaya_nodes.gate_settings import SETTINGS, WATCH_PERIOD_S, GateRules, make_rules
from pitaya_nodes.host_lock import CommanderError, HostLock
from pitaya_nodes.managed_node import ManagedNode, at_most_every, run
from pitaya_nodes.modes import Modes
from pitaya_nodes.polled import PolledReadings
from pitaya_nodes.return_to_start import ReturnToStart, why_not_now
from pitaya_nodes.serialized_joints import SerializedReadings

_AT_LIMIT = (Verdict.OUT_OF_RANGE, Verdict.TOO_FAR)


class CommandGate(ManagedNode):
    """Forwards commands that are fresh, finite, complete and within limits; refuses and counts all others.

    Time is that of the node: with use_sim_time the simulation's, so that lock-step never looks like silence;
    otherwise a steady clock, which no clock adjustment can stop.
    """

    def __init__(self) -> None:
        """Declares parameters; the emergency stop works from here on."""
        super().__init__("command_gate", SETTINGS)
        self._states = self.diagnostics.monitor("joint_states")
        self._commands = self.diagnostics.monitor("joint_command")
        self._holds = self.diagnostics.monitor("holds")
        self._simulated = bool(self.value("use_sim_time"))
        self._rules: GateRules | None = None
        self._lock: HostLock | None = None
        self._return: ReturnToStart | None = None
        self._moving = False
        self._status = GateStatus()
        self._status_outlet = self.create_publisher(GateStatus, "~/status", qos.LATCHED)
        self._stop_outlet = self.create_publisher(Bool, "emergency_stop", qos.COMMAND)
        self._modes = Modes(self, self._now_ns, self._report, self._hold)
        self.create_service(Trigger, "emergency_stop", self._on_stop)
        self._report(Mode.INACTIVE, "not configured")

    def configure(self) -> None:
        """Loads the limits and opens the topics.

        Raises:
            PitayaError: If the bundle must not be used, or somebody else commands this robot.
        """
        rules = make_rules(self.value)
        for note in rules.notes:
            self.get_logger().warning(note)
        outputs = [self.resolve_topic_name(topic) for topic in (EXECUTED_TOPIC, CONTROLLER_TOPIC)]
        sources = [self.resolve_topic_name(topic) for topic in ("joint_command", APPLIED_TOPIC)]
        self._commanders = Commanders(self, outputs, sources, self.value("consumer"))
        self._lock = HostLock(self.context.get_domain_id(), outputs[0])
        self._refuse_second()
        self._check, self._safe, self._rules = rules.check, rules.safe, rules
        self._following, self._swaps, self._modes.limits = rules.following, rules.swaps, rules.limits
        self._early = EarlyCommand(self, self._try_early, rules.check.oldest_ns)
        self.made(self._early.timer, self.destroy_timer)
        self._send = GateOutlets(self, rules.check.joints).send
        self._applied = AppliedCommands(self, rules.safe.period_s, waits=bool(self.value("lock_step")))
        self._polled = self.polled(PolledReadings(self, JointState, "joint_states", qos.EVERY_STATE))
        self._serialized = SerializedReadings(JointCommand)
        self.listen(JointCommand, "joint_command", self._on_command, qos.COMMAND, raw=True)
        self.serve(Trigger, "~/return_to_start", self._on_return)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.made(self.create_timer(WATCH_PERIOD_S, self._watch, clock=steady), self.destroy_timer)
        self._report(self._modes.mode, "configured")

    def release(self) -> None:
        """Lets another gate take over."""
        if self._lock is not None:
            self._lock.release()
        self._lock = self._rules = None

    def activate(self) -> None:
        """Permits forwarding; nothing is held until a first command was forwarded.

        Raises:
            PitayaError: If somebody else commands this robot.
        """
        self._refuse_second()
        self._early.forget()
        self._return, self._moving = None, False
        self._commanders.begin()
        self._begin_softly()

    def deactivate(self) -> None:
        """Holds the measured position once, if commands passed."""
        if self._modes.mode is Mode.ACTIVE:
            self._hold("the gate was deactivated")
        self._moving, self._return = False, None
        self._modes.update()

    def _refuse_second(self) -> None:
        complaint = self._commanders.second()
        if complaint:
            raise CommanderError(f"{complaint}; end the other one first")

    def _begin_softly(self) -> None:
        self._since_ns, self._sent_ns = self._now_ns(), -1
        self._former_step: NDArray[np.float64] | None = None
        for watch in (self._following, self._swaps, self._applied):
            watch.begin()

    def _on_command(self, data: bytes) -> None:
        self._commands.came()
        if not self.active:
            self._commands.refuse("gate not active", "the gate is not active")
            return
        self._fetch_states()
        try:
            command = self._serialized.read(data)
        except BadReadingError as error:
            self._commands.refuse(Verdict.UNREADABLE.value, str(error))
            return
        if self._check.overtook(command.stamp_ns):
            self._early.keep(command, self._now_ns())
            return
        self._early.forget()
        self._pass(command)
        if self._commanders.due(after_command=True):
            self._update_modes(self._look_at_graph())

    def _fetch_states(self) -> None:
        for stamp_ns, read in self._polled.fetch():
            self._states.came()
            if not self._check.measured(stamp_ns, read):
                self._states.refuse(
                    "wild stamp", f"stamped {stamp_ns / convert.NANOSECONDS:.3f} s, alone in that"
                )

    def _pass(self, command: JointReading) -> None:
        if self._modes.mode >= Mode.FAULT:
            self._commands.refuse("not permitted", self._modes.reason)
        elif self._return is not None:
            self._commands.refuse("not permitted", "the gate moves the robot to its start pose")
        else:
            decision = self._check.judge(command)
            if decision.position is None or decision.measured is None:
                self._refuse(command, decision)
            else:
                self._forward(command.stamp_ns, decision.position, decision.measured)

    def _forward(self, stamp_ns: int, wanted: NDArray[np.float64], measured: NDArray[np.float64]) -> None:
        if self._modes.mode is not Mode.ACTIVE:
            self._begin_softly()
        assert self._rules is not None
        elapsed_s = (self._now_ns() - self._since_ns) / convert.NANOSECONDS
        share = soft_start(elapsed_s, self._rules.ramp_s)
        command, limited = self._safe.limit(wanted, measured, share=share, former_step=self._former_step)
        changed = bool(limited.any())
        # The same state again tells nothing new of how it is followed.
        error_rad = None if stamp_ns == self._sent_ns else self._following.error_rad(measured)
        self._moving = True
        outcome = self._modes.update(
            moving=True,
            commanded=True,
            limited=changed if share == 1.0 else None,
            tracking_error_rad=error_rad,
            hold=self._commanders.doubt,
            fault=self._following.complaint or self._swaps.measured(stamp_ns, measured),
        )
        if outcome.action is not Action.FORWARD:
            self._commands.refuse("not permitted", outcome.reason)
            return
        self._send(stamp_ns, command)
        self._status.forwarded += 1
        self._status.limited += changed
        self._applied.sent(stamp_ns, self._now_ns())
        self._sent_ns, self._former_step = stamp_ns, command - measured
        self._following.sent(command)
        if exchanged := self._swaps.sent(command):
            self._modes.update(moving=True, fault=exchanged)

    def _try_early(self) -> None:
        self._fetch_states()
        command, late = self._early.command, self._early.late(self._now_ns())
        if command is None or not (self.active and (late or not self._check.overtook(command.stamp_ns))):
            return
        self._early.forget()
        if late:
            self._commands.refuse("its state is late", "the state it answers did not come in time")
        else:
            self._pass(command)

    def _watch(self) -> None:
        if not self.active:
            self._fetch_states()
            return
        self._try_early()
        fault = self._look_at_graph() if self._commanders.due(after_command=False) else ""
        self._go_on_returning()
        self._update_modes(fault)

    def _update_modes(self, fault: str) -> None:
        lost = self._applied.complaint(self._check.latest_ns, self._now_ns())
        self._modes.update(moving=self._moving, hold=self._commanders.doubt, fault=fault or lost)

    def _look_at_graph(self) -> str:
        """Why a person must look at who commands and who listens, or an empty text."""
        missed = self._now_ns() - self._since_ns > convert.NANOSECONDS
        return self._commanders.look(self._moving, missed)

    def _now_ns(self) -> int:
        if not self._simulated:
            return time.monotonic_ns()
        now_ns = int(self.get_clock().now().nanoseconds)
        # The clock message may come after the state that it dates.
        return now_ns if self._rules is None else max(now_ns, self._check.latest_ns or 0)

    def _hold(self, reason: str) -> None:
        self._return = None
        latest = self._check.latest_measured() if self._rules is not None else None
        if latest is None:
            return
        self._applied.begin()  # a hold may meet a robot on its way to a new start, which does not carry it out
        stamp_ns, measured = latest
        self._send(stamp_ns, self._safe.hold(self._swaps.sorted_back(measured)))
        self._holds.came()
        self._status.holds += 1
        self.get_logger().info(f"holding the measured position: {reason}", **at_most_every(10.0))

    def _refuse(self, command: JointReading, decision: Decision) -> None:
        verdict, reason = decision.verdict, decision.reason
        self._commands.refuse(verdict.value, reason)
        self.get_logger().warning(f"command refused, {verdict.value}: {reason}", **at_most_every(1.0))
        self._modes.update(
            moving=self._moving,
            limited=True if verdict in _AT_LIMIT else None,
            non_finite=not np.isfinite(command.position).all(),
            hold=self._commanders.doubt,
        )

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._modes.stop(f"emergency stop by service {self.resolve_service_name('emergency_stop')}")
        self._stop_outlet.publish(Bool(data=True))
        response.success, response.message = True, f"stopped; {self.get_fully_qualified_name()}/clear ends it"
        return response

    def _on_return(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        known = self._rules is not None and self._rules.start_rad is not None
        response.message = why_not_now(self.active, self._modes.mode, self._modes.reason, known)
        response.success = not response.message
        if response.success and self._rules is not None and self._rules.start_rad is not None:
            self._return = ReturnToStart(self._rules.start_rad, self._safe, self._now_ns())
            response.message = "on the way to the start pose at a quarter of the allowed speed; see ~/status"
        return response

    def _go_on_returning(self) -> None:
        latest = self._check.latest_measured() if self._return is not None else None
        if self._return is None or latest is None:
            return
        stamp_ns, measured = latest
        command = self._return.command(self._now_ns(), stamp_ns, measured)
        self._moving = True
        if command is not None and self._modes.update(moving=True, commanded=True).action is Action.FORWARD:
            self._applied.sent(stamp_ns, self._now_ns())
            self._send(stamp_ns, command)
        if self._return is not None and self._return.outcome:
            self.get_logger().info(self._return.outcome)
            self._return, self._moving = None, False

    def _report(self, mode: Mode, reason: str) -> None:
        self._moving &= mode < Mode.FAULT  # what a person clears begins at rest, softly
        status, known_ns = self._status, None if self._rules is None else self._check.latest_ns
        status.state_stamp = convert.time_message(known_ns or 0)
        status.header.stamp = self.get_clock().now().to_msg()
        status.mode, status.refused = int(mode), self._commands.refusals
        status.reason = "on the way to the start pose" if self._return is not None else reason
        self._status_outlet.publish(status)


def main() -> int:
    """Entry point."""
    return run(CommandGate)


if __name__ == "__main__":
    raise SystemExit(main())
