# SPDX-License-Identifier: Apache-2.0
"""What must hold between the numbers of a robot description."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.robot_description import ResetRoutine, RobotDescription, Watchdogs

SERVO_STEP_S, MOST_SERVO_STEPS = 0.02, 127
"""A servo counts its bus watchdog in steps of 20 ms, up to 127 of them."""
_ROUNDING = 1e-9


def check_robot(robot: RobotDescription) -> None:
    """Checks names, limits, start pose, watchdogs, thresholds, motors and reset routine.

    Raises:
        InvalidValueError: If something contradicts something else; names it.
    """
    if not robot.joints:
        raise InvalidValueError("robot.joints is empty: name the joints that are commanded")
    _once("joint name", robot.measured_names)
    for joint in robot.joints:
        low = joint.limits.low_rad + robot.safety_margin_rad
        high = joint.limits.high_rad - robot.safety_margin_rad
        if low >= high:
            raise InvalidValueError(
                f"{joint.name} has no range left: from low_rad {joint.limits.low_rad:g} to high_rad "
                f"{joint.limits.high_rad:g} with {robot.safety_margin_rad:g} rad off each end"
            )
        _inside(f"start_rad of {joint.name}", joint.start_rad, low, high)
    _check_watchdogs(robot.watchdogs)
    _check_derating(robot)
    _check_motors(robot)
    if robot.reset is not None:
        _check_reset(robot, robot.reset)


def _check_watchdogs(watchdogs: Watchdogs) -> None:
    steps = watchdogs.servo_s / SERVO_STEP_S
    if abs(steps - round(steps)) > 1e-6 or not 1 <= round(steps) <= MOST_SERVO_STEPS:
        raise InvalidValueError(
            f"watchdogs.servo_s must be 1 to {MOST_SERVO_STEPS} times {SERVO_STEP_S:g} s, "
            f"got {watchdogs.servo_s:g} s"
        )
    order = (
        ("state_age_s", watchdogs.state_age_s),
        ("servo_s", watchdogs.servo_s),
        ("bus_silence_s", watchdogs.bus_silence_s),
        ("command_silence_s", watchdogs.command_silence_s),
        ("fault_s", watchdogs.fault_s),
    )
    for (first, shorter), (second, longer) in pairwise(order):
        if shorter > longer or (shorter == longer and first != "servo_s"):
            raise InvalidValueError(
                f"watchdogs.{first} must be shorter than watchdogs.{second}, got {shorter:g} s and {longer:g} s"
            )


def _check_derating(robot: RobotDescription) -> None:
    if robot.derating is None:
        return
    for name in ("temperature_c", "current_a"):
        threshold = getattr(robot.derating, name)
        if threshold.start >= threshold.hold:
            raise InvalidValueError(
                f"derating.{name}: start must lie below hold, got {threshold.start:g} and {threshold.hold:g}"
            )
    hold = robot.derating.temperature_c.hold
    for name, motor in (robot.motors() if robot.bus else {}).items():
        if hold >= motor.temperature_limit_c:
            raise InvalidValueError(
                f"derating.temperature_c.hold must lie below temperature_limit_c of {name}, at which the motor "
                f"shuts down, got {hold:g} and {motor.temperature_limit_c}"
            )


def _check_motors(robot: RobotDescription) -> None:
    if robot.bus is None:
        return
    motors = robot.motors()
    users = Counter(motor.id for motor in motors.values())
    for bus_id, count in users.items():
        if count > 1:
            names = ", ".join(name for name, motor in motors.items() if motor.id == bus_id)
            raise InvalidValueError(f"id {bus_id} is given to {names}: every motor needs an id of its own")
    for name, motor in motors.items():
        if motor.sign == 0:
            raise InvalidValueError(f"sign of {name} must be 1 or -1, got 0")


def _check_reset(robot: RobotDescription, reset: ResetRoutine) -> None:
    _known("reset.limp_joints", reset.limp_joints, robot.joint_names)
    low = dict(zip(robot.joint_names, robot.command_low_rad, strict=True))
    high = dict(zip(robot.joint_names, robot.command_high_rad, strict=True))
    for index, stage in enumerate(reset.free_stages):
        where = f"reset.free_stages[{index}].pose_rad"
        _known(where, stage.pose_rad, robot.joint_names)
        for name, value in stage.pose_rad.items():
            _inside(f"{where}.{name}", value, float(low[name]), float(high[name]))


def _inside(what: str, value: float, low: float, high: float) -> None:
    if not low - _ROUNDING <= value <= high + _ROUNDING:
        raise InvalidValueError(
            f"{what} must lie from {low:.4f} to {high:.4f} rad, the limits less the margin, got {value:g}"
        )


def _known(where: str, names: Iterable[str], known: Sequence[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidValueError(
            f"{where} names {', '.join(unknown)}; the commanded joints are {', '.join(known)}"
        )


def _once(what: str, names: Sequence[str]) -> None:
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise InvalidValueError(f"every {what} must appear once; {', '.join(repeated)} appears more often")
