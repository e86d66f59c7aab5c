# SPDX-License-Identifier: Apache-2.0
"""Scripted moves, one step per cycle: to the start pose, and the reset between episodes.

The reset follows ROBEL's (arXiv 1909.11639): some joints go limp while the object is turned to its start, then the hand
takes its start pose; if it does not get there fingers are tangled and are freed one joint after the other.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping

from meta_rl_core.dynamixel.driver import HandDriver
from meta_rl_core.dynamixel.port import BusError
from meta_rl_core.runtime.robot_description import ResetRoutine

LEAST_RESET_S = 1.0
Wait = Generator[None, None, bool]


class TangledError(BusError):
    """The hand does not reach its start pose and needs a person."""


class ObjectStuckError(BusError):
    """The object does not reach its start and needs a person."""


def routine_of(driver: HandDriver) -> ResetRoutine:
    """The robot's reset routine.

    Raises:
        BusError: If its description has none.
    """
    if driver.robot.reset is None:
        raise BusError(f"robot {driver.robot.name} has no reset routine: its description lacks the key reset")
    return driver.robot.reset


def to_start(driver: HandDriver) -> Iterator[None]:
    """Torque on, then slowly to the start pose, freeing tangled fingers if need be.

    Raises:
        TangledError: If it does not get there within the tries of the description.
    """
    routine = routine_of(driver)
    pose = start_pose(driver)
    for attempt in range(1 + routine.tries):
        driver.torque(driver.robot.joint_names, True)
        if (yield from move(driver, pose, routine.pose_tolerance_rad, routine.pose_timeout_s)):
            return
        if attempt < routine.tries:
            yield from _free(driver, routine)
    off = [name for name, goal in pose.items() if abs(driver.angle(name) - goal) > routine.pose_tolerance_rad]
    raise TangledError(
        f"the hand did not reach its start pose in {1 + routine.tries} tries ({', '.join(off)}): free its fingers "
        "by hand, then reset again"
    )


def reset(driver: HandDriver, object_angle_rad: float) -> Iterator[None]:
    """Object to an angle, hand to its start pose, object limp.

    Args:
        driver: The robot.
        object_angle_rad: Where the object starts [rad].

    Raises:
        ObjectStuckError: If the object does not get there.
        TangledError: If the hand does not.
    """
    routine = routine_of(driver)
    begin_s = driver.clock()
    pose = start_pose(driver)
    driver.torque(routine.limp_joints, False)
    stiff = [name for name in driver.robot.joint_names if name not in routine.limp_joints]
    driver.torque(stiff, True)
    yield from move(
        driver, {name: pose[name] for name in stiff}, routine.pose_tolerance_rad, routine.pose_timeout_s
    )
    for item in driver.robot.object_joints:
        driver.torque([item.name], True)
        goal = {item.name: object_angle_rad}
        there = yield from move(driver, goal, routine.object_tolerance_rad, routine.object_timeout_s)
        if not there:
            angle = driver.angle(item.name)
            driver.torque([item.name], False)
            raise ObjectStuckError(
                f"{item.name} stands at {angle:.2f} rad and does not move to {object_angle_rad:.2f} rad: "
                "see what blocks it, then reset again"
            )
    while driver.clock() - begin_s < LEAST_RESET_S:
        yield
    yield from to_start(driver)
    driver.torque([item.name for item in driver.robot.object_joints], False)
    yield


def start_pose(driver: HandDriver) -> dict[str, float]:
    """Start positions of the fingers [rad]."""
    return dict(zip(driver.robot.joint_names, driver.robot.start_rad.tolist(), strict=True))


def move(driver: HandDriver, pose: Mapping[str, float], tolerance_rad: float, timeout_s: float) -> Wait:
    """Moves joints to a pose at the routine's speed; true once all are within the tolerance, false after the timeout.

    The time counts from the moment the goals have arrived.
    """
    speed = routine_of(driver).speed_rad_s
    goals = {name: driver.angle(name) for name in pose}
    last_s = driver.clock()
    arrived_s: float | None = None
    while True:
        yield
        now_s = driver.clock()
        step = speed * (now_s - last_s)
        last_s = now_s
        goals = {name: _towards(goals[name], target, step) for name, target in pose.items()}
        driver.aim(goals)
        if goals != dict(pose):
            continue
        arrived_s = now_s if arrived_s is None else arrived_s
        if all(abs(driver.angle(name) - target) <= tolerance_rad for name, target in pose.items()):
            return True
        if now_s - arrived_s > timeout_s:
            return False


def _free(driver: HandDriver, routine: ResetRoutine) -> Iterator[None]:
    """Everything limp, then joint after joint to where fingers come apart."""
    driver.torque(driver.robot.joint_names, False)
    yield from _wait(driver, routine.free_limp_s)
    for stage in routine.free_stages:
        driver.torque(stage.pose_rad, True)
        yield from move(driver, stage.pose_rad, routine.pose_tolerance_rad, stage.duration_s)


def _wait(driver: HandDriver, duration_s: float) -> Iterator[None]:
    end_s = driver.clock() + duration_s
    while driver.clock() < end_s:
        yield


def _towards(value: float, goal: float, step: float) -> float:
    return goal if abs(goal - value) <= step else value + (step if goal > value else -step)
