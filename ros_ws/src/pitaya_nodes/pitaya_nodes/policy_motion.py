# SPDX-License-Identifier: Apache-2.0
"""Whether the policy may move the robot: joint states late or bad, deadlines missed, the gate's word."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pitaya_msgs.msg import GateStatus
from rclpy.clock import Clock, ClockType

from meta_rl_core.errors import BadReadingError
from meta_rl_core.runtime.stamp_watch import Stamp, StampWatch
from meta_rl_core.runtime.supervisor import Action, Limits, Mode, Sample
from meta_rl_core.runtime.terms import JointReading
from meta_rl_core.runtime.time_outs import check_time_outs
from pitaya_nodes import qos
from pitaya_nodes.convert import NANOSECONDS, stamp_ns
from pitaya_nodes.modes import Modes
from pitaya_nodes.polled import waiting_messages

if TYPE_CHECKING:
    from pitaya_nodes.policy_node import PolicyNode

_NEVER_REACHED = 2**62
_STOOD_STILL_NS = NANOSECONDS // 5
_CLOCK_WENT_BACK_NS = NANOSECONDS
"""States of before are shown again now and then; stamps this far back are those of another clock."""


class PolicyMotion:
    """Supervises a policy node's episodes; see docs/supervisor.md.

    Deadlines run on a steady clock, with use_sim_time on the simulation's; in lock-step nothing is late.
    """

    def __init__(self, node: PolicyNode) -> None:
        """Offers ~/clear from now on."""
        self._node = node
        simulated = bool(node.value("use_sim_time"))
        self._clock = node.get_clock() if simulated else Clock(clock_type=ClockType.STEADY_TIME)
        self._modes = Modes(node, self._now_ns, self._changed, self._hold, stoppable=False)
        self._reading: JointReading | None = None
        self._stamps, self._doubted, self._looked_ns = StampWatch(), False, 0
        self._gate, self._held, self._uncounted = "", False, False
        self._deadline: Any = None

    def open(self, states: Any) -> None:
        """Prepares for the bundle of a node that is being configured.

        Args:
            states: Its subscription to joint states.

        Raises:
            InvalidValueError: If the time-outs are out of order.
        """
        node, limits = self._node, Limits.for_period(self._node.robot.period_s)
        self._states, self._deadline, self._gate = states, None, ""
        if node.value("lock_step"):
            self._modes.limits = replace(
                limits, state_age_s=None, fault_age_s=None, missed_deadlines=_NEVER_REACHED
            )
        else:
            age_s = float(node.value("state_timeout_s"))
            check_time_outs(state_age_s=age_s, fault_s=limits.fault_age_s or 0.0)
            self._modes.limits = replace(limits, state_age_s=age_s)
            # Started anew by every sound state, so it wakes the process only when they stay away.
            timer = node.create_timer(age_s, self._on_late, clock=self._clock)
            self._deadline = node.made(timer, node.destroy_timer)
        node.listen(GateStatus, "command_gate/status", self._on_gate, qos.LATCHED)

    def begin_goal(self) -> None:
        """Forgets the joint states of before: another plant, or the same one restarted, may have another clock."""
        self._uncounted = False
        self._reading, self._stamps = None, StampWatch()

    def close(self) -> None:
        """Tells the supervisor that the node is not active any more."""
        self._reading = None
        self._modes.update()

    def in_time_line(self, reading: JointReading) -> JointReading:
        """The joint state, unless its stamp is far from those before it and alone in that.

        Raises:
            BadReadingError: If it is.
        """
        seen = Stamp.SOUND if self._deadline is None else self._stamps.see(reading.stamp_ns)
        self._doubted = seen is Stamp.WILD
        if self._doubted:
            raise BadReadingError(
                f"a joint state is stamped {reading.stamp_ns / NANOSECONDS:.3f} s, those before it up to "
                f"{(self._stamps.latest_ns or 0) / NANOSECONDS:.3f} s; it counts if the next one goes on from there"
            )
        if seen is Stamp.LEAPT and self._node.episode is not None:
            # The clock was set, or nothing came for long: no deadline was missed, but the step is not one.
            self._node.episode.interrupt()
        return reading

    def sound_state(self, reading: JointReading) -> bool:
        """Takes a joint state; gives whether it may be answered."""
        last = self._reading
        if last is not None and last.stamp_ns - reading.stamp_ns > _CLOCK_WENT_BACK_NS:
            back_s = (last.stamp_ns - reading.stamp_ns) / NANOSECONDS
            self._reading = reading
            self._end_goal(
                f"the stamps of joint_states went back by {back_s:.1f} s, so the episode has ended"
            )
            return False
        self._reading = reading
        if self._modes.mode is Mode.ACTIVE and not self._gate:
            # A sound state takes nothing away from what is permitted already; it is counted when it is answered.
            self._uncounted = True
            return True
        return self._count()

    def answered(self) -> None:
        """Counts a sound state that was answered before it was counted, since the robot waited."""
        if self._uncounted:
            self._count()

    def _count(self) -> bool:
        self._uncounted = False
        permitted = self._update(sample=Sample.GOOD)
        if self._deadline is not None:
            self._deadline.reset()
        return permitted

    def bad_state(self) -> None:
        """Notes a joint state that cannot be used."""
        # After this process stood still the first stamp is in doubt, and the second one proves that states came.
        doubted, self._doubted = self._doubted, False
        if not doubted:
            self._update(sample=Sample.BAD)

    def not_finite(self) -> None:
        """Notes that the policy had no finite answer."""
        self.answered()
        self._update(non_finite=True)

    def kept_deadline(self, skipped: int | None) -> bool:
        """Takes how many deadlines were missed before this one (None: none was due); gives whether to answer."""
        # A deadline that was kept like those before changes nothing, and the robot waits.
        if not skipped and not self._modes.missed:
            return True
        self.answered()
        return self._update(skipped=skipped)

    def goal_refusal(self) -> str:
        """Why no goal may begin, or an empty text."""
        if self._modes.mode >= Mode.FAULT:
            return f"{self._modes.mode.name}: {self._modes.reason}; call ~/clear first"
        return self._gate

    def overrides(self, mode: int, reason: str) -> tuple[int, str]:
        """Mode and reason to tell, where the node itself would say these: the more severe mode wins."""
        if self._modes.mode < max(Mode.HOLD, mode):
            return mode, reason
        return int(self._modes.mode), self._modes.reason

    def _now_ns(self) -> int:
        return int(self._clock.now().nanoseconds)

    def _update(self, **flags: Any) -> bool:
        moving = self._node.episode is not None and self._node.episode.acting
        outcome = self._modes.update(moving=moving, hold=self._gate if moving else "", **flags)
        return outcome.action is Action.FORWARD

    def _on_late(self) -> None:
        if not self._node.active:
            return
        self._take_waiting()
        if not self._stood_still():
            self._update()

    def _stood_still(self) -> bool:
        """Whether nothing here ran for long: then what came meanwhile is still on its way through DDS's own threads."""
        if self._deadline is None:
            return False
        now_ns = self._now_ns()
        last_ns, self._looked_ns = max(self._looked_ns, self._modes.good_ns), now_ns
        return now_ns - last_ns > _STOOD_STILL_NS

    def _take_waiting(self) -> None:
        """A process that was busy is late itself: what waits for it came in time."""
        for message in waiting_messages(self._states):
            self._node.on_state(message)

    def _on_gate(self, status: GateStatus) -> None:
        stopped = status.mode in (GateStatus.FAULT, GateStatus.STOPPED)
        self._gate = f"the command gate lets nothing pass: {status.reason}" if stopped else ""
        if stopped:
            self._node.transitions.doubt(stamp_ns(status.state_stamp), status.reason)
        if self._node.active:
            self._take_waiting()
            if stopped or not self._stood_still():
                self._update()
            if stopped:
                self._end_goal(self._gate)

    def _changed(self, mode: Mode, reason: str) -> None:
        node = self._node
        if mode is Mode.FAULT:
            self._end_goal(reason)
        held, self._held = self._held, mode >= Mode.HOLD
        if self._held:
            node.report(int(mode), reason)
        elif held and mode is not Mode.INACTIVE:
            running = "waiting for a goal" if node.episode is None else f"episode {node.episode.index} runs"
            node.report(int(mode), f"{running} again")

    def _end_goal(self, reason: str) -> None:
        if self._node.goal_runs and self._node.action is not None:
            self._node.action.stop(reason)

    def _hold(self, _: str) -> None:
        """Commands the measured position within the policy's limits; the step that runs will not count."""
        node, reading = self._node, self._reading
        if node.episode is None or reading is None:
            return
        action = node.robot.action
        names = list(node.robot.joint_names)
        measured = reading.position[[names.index(joint) for joint in action.joints]]
        target = np.clip(measured, action.low, action.high)
        if action.max_step is not None:
            target = np.clip(target, measured - action.max_step, measured + action.max_step)
        node.send(reading.stamp_ns, target)
        node.episode.interrupt()
