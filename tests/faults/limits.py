# SPDX-License-Identifier: Apache-2.0
"""Row 15: a policy that emits anything at all, through the safety filter that is the gate's last stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import PitayaError
from meta_rl_core.runtime.robot_file import load_robot
from meta_rl_core.runtime.safety_filter import JointLimits, SafetyFilter
from tests.faults.hostile_messages import EXCEPTIONAL
from tests.faults.loop import make_bundle
from tests.faults.tally import Tally

Array = NDArray[np.float64]
_ROBOT = Path(__file__).resolve().parents[2] / "config" / "robots" / "dclaw.yaml"
_MARGIN_RAD = np.deg2rad(5.0)
_ROUNDING_RAD = 1e-8
_SWITCH_EVERY = 50


def adversarial_actions(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 15: each case is one raw command; the joints then go where the filter lets them.

    Commands are drawn to hurt: bang-bang, walks out of the box, huge, tiny, NaN. Limits are checked against numbers
    from the robot's file alone, not against what the filter believes them to be.
    """
    bundle, tally = make_bundle(folder), Tally()
    robot = load_robot(_ROBOT)
    joints = bundle.robot.action.joints
    rows = [robot.joint_names.index(name) for name in joints]
    period_s = bundle.robot.period_s
    filtering = SafetyFilter(JointLimits.from_robot(robot, joints), period_s)
    low, high = robot.low_rad[rows] + _MARGIN_RAD, robot.high_rad[rows] - _MARGIN_RAD
    speed = robot.speed_rad_s[rows]
    measured = 0.5 * (low + high)
    held = cut = 0
    fastest = 0.0
    for index in range(cases):
        kind = (index // _SWITCH_EVERY) % 5
        wanted = _adversary(kind, index, measured, low, high, generator)
        try:
            command, limited = filtering.limit(wanted, measured)
        except PitayaError:
            held += 1
            tally.case("" if not np.isfinite(wanted).all() else f"command {index}: a finite one was refused")
            continue
        cut += bool(limited.any())
        went = np.abs(command - measured).max() / period_s
        fastest = max(fastest, float(went))
        tally.case(_complaint(index, wanted, command, measured, low, high, speed * period_s))
        measured = command + generator.normal(0.0, 1e-4, len(joints))
    tally.measured = {
        "speed limit of the robot's file [rad/s]": float(speed.max()),
        "fastest command let through [rad/s]": fastest,
        "commands cut": cut,
        "commands with NaN or infinity, held instead": held,
    }
    return tally


def _adversary(
    kind: int, index: int, measured: Array, low: Array, high: Array, generator: np.random.Generator
) -> Array:
    count = len(low)
    if kind == 0:
        return np.where(generator.random(count) < 0.5, low - 1.0, high + 1.0)
    if kind == 1:
        return measured + (1.0 if index % 100 < 50 else -1.0) * generator.uniform(0.0, 0.5, count)
    if kind == 2:
        return generator.choice(EXCEPTIONAL, size=count)
    if kind == 3:
        return measured + generator.normal(0.0, 1e3, count)
    return generator.uniform(low, high)


def _complaint(
    index: int, wanted: Array, command: Array, measured: Array, low: Array, high: Array, step: Array
) -> str:
    if not np.isfinite(command).all():
        return f"command {index}: not finite"
    if (np.abs(command - measured) > step + _ROUNDING_RAD).any():
        return f"command {index}: {np.abs(command - measured).max():.4f} rad in one period"
    # A joint that noise put outside may be on its way back, as fast as it is allowed to be.
    outside = np.maximum(low - command, command - high)
    before = np.maximum(low - measured, measured - high)
    if (outside > np.maximum(before, 0.0) + _ROUNDING_RAD).any():
        return f"command {index}: {outside.max():.4f} rad outside the box, asked for {wanted.tolist()}"
    return ""
