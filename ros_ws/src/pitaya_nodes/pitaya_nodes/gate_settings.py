# SPDX-License-Identifier: Apache-2.0
"""Parameters of the command gate, and all that follows from them, the bundle and the robot's description."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.bundle import load_bundle
from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.following import Following
from meta_rl_core.runtime.robot_comparison import refuse_contradictions
from meta_rl_core.runtime.robot_file import find_robot, load_robot
from meta_rl_core.runtime.robot_interface import RobotInterface
from meta_rl_core.runtime.safety_filter import JointLimits, SafetyFilter
from meta_rl_core.runtime.supervisor import Limits
from meta_rl_core.runtime.swap_watch import ALARM, SwapWatch
from meta_rl_core.runtime.time_outs import LONGEST_SILENCE_S, check_time_outs
from pitaya_nodes.applied_commands import ACKNOWLEDGED
from pitaya_nodes.command_check import CommandCheck
from pitaya_nodes.parameters import Setting
from pitaya_nodes.realtime import REALTIME_PRIORITY

WATCH_PERIOD_S = 0.02
_HOLD_EARLY_S = 0.075
"""The gate looks around only so often, and computers are busy: it must have held when the time-out is over. And a hand
that nobody commands swings the further the later it is held (benchmarks/hold_motion.py)."""

Array = NDArray[np.float64]
_NOT_FOLLOWED_PERIODS = 3.5
"""Commands are seen not to be followed one period after the first of them: the fifth period ends it."""

SETTINGS = (
    Setting("bundle", "", "Directory of the policy bundle whose joints and limits commands must keep to."),
    Setting(
        "robot",
        "",
        "Description of the robot (NAME of config/robots/NAME.yaml, or a path) whose limits, margin taken off, the "
        "safety filter keeps; empty: those of the bundle.",
    ),
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
    Setting(
        "soft_start_s",
        0.5,
        "After activation and after each hold the allowed step grows from a tenth to all of it in this time [s].",
        low=0.0,
        high=10.0,
    ),
    Setting(
        "stall_rad",
        0.1,
        "Fault if 3 commands in a row (5 where they are acknowledged) lead nowhere although they lead further than "
        "this beyond the command before them, as a vector and on average [rad]; 0: not watched.",
        low=0.0,
        high=3.2,
    ),
    Setting(
        "swap_alarm",
        ALARM,
        "Fault if the evidence that two joints have exchanged what they measure exceeds this; more for a "
        "robot that is soft or late, 0: not watched.",
        low=0.0,
        high=1000.0,
    ),
    Setting(
        "consumer",
        "",
        "Name of the node that must listen to the gate's commands; if it stops doing so: hold, then fault; "
        "empty: not watched.",
    ),
    Setting(
        "lock_step",
        False,
        "Whether the plant stands still until its command comes: no soft start, no watch for robots that stall "
        "or joints that are exchanged.",
    ),
    ACKNOWLEDGED,
    REALTIME_PRIORITY,
)


@dataclass(frozen=True)
class GateRules:
    """What a configured gate keeps to.

    Attributes:
        check: Rules for single commands.
        safe: The last filter.
        following: Notices a robot that does not follow.
        swaps: Notices joints that have exchanged what they measure.
        limits: When to hold and when to give up.
        ramp_s: Length of a soft start [s].
        start_rad: Start pose of the commanded joints [rad], shape (A,), or None if nobody said.
        notes: What the filter will cut of what the policy was trained to do, one sentence each.
    """

    check: CommandCheck
    safe: SafetyFilter
    following: Following
    swaps: SwapWatch
    limits: Limits
    ramp_s: float
    start_rad: Array | None
    notes: tuple[str, ...]


def make_rules(value: Callable[[str], Any]) -> GateRules:
    """The rules for given parameters.

    Raises:
        PitayaError: If bundle or robot must not be used, do not fit, or time-outs are out of order.
    """
    if not value("bundle"):
        raise InvalidValueError("parameter bundle is empty: give the directory of a policy bundle")
    robot = load_bundle(value("bundle")).robot
    timeout_s, period_s = float(value("command_timeout_s")), robot.period_s
    if timeout_s <= period_s:
        raise InvalidValueError(
            f"command_timeout_s must be longer than the policy's period of {period_s:g} s, got {timeout_s:g} s"
        )
    joint_limits, start_rad, notes = _of_robot(value("robot"), robot, timeout_s)
    waits = bool(value("lock_step"))
    limits = replace(
        Limits.for_period(period_s),
        state_age_s=None,
        fault_age_s=None,
        command_age_s=max(timeout_s - _HOLD_EARLY_S, (timeout_s + period_s) / 2.0),
        resume_samples=0,
        tracking_s=_NOT_FOLLOWED_PERIODS * period_s,
    )
    return GateRules(
        check=CommandCheck(robot.action, value("oldest_state_s"), leaps=waits),
        safe=SafetyFilter(joint_limits, period_s),
        following=Following(
            None if waits else value("stall_rad") or None, acknowledged=bool(value("acknowledged"))
        ),
        swaps=_swap_watch(robot, 0.0 if waits else float(value("swap_alarm"))),
        limits=limits,
        ramp_s=0.0 if waits else float(value("soft_start_s")),
        start_rad=start_rad,
        notes=notes,
    )


def _swap_watch(robot: RobotInterface, alarm: float) -> SwapWatch:
    return SwapWatch(robot.action.joints, robot.action.max_step, robot.period_s, alarm)


def _of_robot(
    path: str, policy: RobotInterface, timeout_s: float
) -> tuple[JointLimits, Array | None, tuple[str, ...]]:
    joints = policy.action.joints
    if not path:
        # Without a description nothing is known of servos; what the gate itself promises still has its order.
        check_time_outs(state_age_s=timeout_s / 2.0, servo_watchdog_s=None, command_silence_s=timeout_s)
        return JointLimits.from_action(policy.action, policy.period_s), None, ()
    robot = load_robot(find_robot(path))
    notes = refuse_contradictions(robot, policy)
    check_time_outs(
        state_age_s=robot.watchdogs.state_age_s,
        servo_watchdog_s=robot.watchdogs.servo_s,
        command_silence_s=timeout_s,
        fault_s=robot.watchdogs.fault_s,
    )
    start_rad = robot.start_rad[[robot.joint_names.index(joint) for joint in joints]]
    return JointLimits.from_robot(robot, joints), start_rad, notes
