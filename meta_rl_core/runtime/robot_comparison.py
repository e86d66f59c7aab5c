# SPDX-License-Identifier: Apache-2.0
"""Holds a robot against the interface a policy was trained on, and names every difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meta_rl_core.errors import JointMismatchError
from meta_rl_core.runtime.robot_description import RobotDescription
from meta_rl_core.runtime.robot_interface import RobotInterface

_ROUNDING = 1e-6


@dataclass(frozen=True)
class Comparison:
    """How robot and policy differ.

    Attributes:
        contradictions: Differences with which the policy must not run, one sentence each.
        notes: Differences that the safety filter takes care of, one sentence each.
    """

    contradictions: tuple[str, ...]
    notes: tuple[str, ...]


def compare(robot: RobotDescription, policy: RobotInterface) -> Comparison:
    """Compares joints, rates, ranges and speeds."""
    contradictions = [*_joints(robot, policy), *_rates(robot, policy)]
    notes = []
    for index, name in enumerate(policy.action.joints):
        if name not in robot.joint_names:
            continue
        mine = robot.joint_names.index(name)
        low, high = float(robot.command_low_rad[mine]), float(robot.command_high_rad[mine])
        lowest, highest = float(policy.action.low[index]), float(policy.action.high[index])
        if lowest >= high or highest <= low:
            contradictions.append(
                f"the policy commands {name} from {lowest:.4f} to {highest:.4f} rad, "
                f"robot {robot.name} allows {low:.4f} to {high:.4f} rad"
            )
        elif lowest < low - _ROUNDING or highest > high + _ROUNDING:
            notes.append(
                f"the policy commands {name} from {lowest:.4f} to {highest:.4f} rad and is cut to "
                f"{max(low, lowest):.4f} to {min(high, highest):.4f} rad"
            )
        notes += _speed(robot, policy, index, mine)
    return Comparison(tuple(contradictions), tuple(notes))


def refuse_contradictions(robot: RobotDescription, policy: RobotInterface) -> tuple[str, ...]:
    """The notes of the comparison.

    Raises:
        JointMismatchError: If robot and policy contradict each other; names every contradiction.
    """
    comparison = compare(robot, policy)
    if comparison.contradictions:
        raise JointMismatchError(
            f"robot {robot.name} and the bundle contradict each other: {'; '.join(comparison.contradictions)}"
        )
    return comparison.notes


def _joints(robot: RobotDescription, policy: RobotInterface) -> list[str]:
    found = []
    missing = [name for name in policy.action.joints if name not in robot.joint_names]
    if missing:
        found.append(
            f"the policy commands {', '.join(missing)}, which {robot.name} does not offer to be commanded"
        )
    idle = [name for name in robot.joint_names if name not in policy.action.joints]
    if idle:
        found.append(f"the policy does not command {', '.join(idle)} of {robot.name}")
    unmeasured = [
        name
        for name in policy.joint_names
        if name not in robot.measured_names and name not in policy.action.joints
    ]
    if unmeasured:
        found.append(f"the policy observes {', '.join(unmeasured)}, which {robot.name} does not measure")
    return found


def _rates(robot: RobotDescription, policy: RobotInterface) -> list[str]:
    states = policy.period_s * robot.state_hz
    if round(states) >= 1 and abs(states - round(states)) < _ROUNDING:
        return []
    return [
        f"the policy acts every {policy.period_s:g} s, which is no multiple of the robot's "
        f"state period of {1.0 / robot.state_hz:g} s"
    ]


def _speed(robot: RobotDescription, policy: RobotInterface, index: int, mine: int) -> list[str]:
    step = policy.action.max_step
    fastest = np.inf if step is None else float(step[index]) / policy.period_s
    allowed = float(robot.speed_rad_s[mine])
    if fastest <= allowed * (1.0 + _ROUNDING):
        return []
    return [
        f"the policy moves {robot.joint_names[mine]} at up to {fastest:.3f} rad/s and is slowed to "
        f"{allowed:.3f} rad/s"
    ]
