# SPDX-License-Identifier: Apache-2.0
"""Where the joints of a robot should go, and what of that its motors are told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from meta_rl_core.dynamixel.derating import Heat
from meta_rl_core.dynamixel.link import MotorLink
from meta_rl_core.dynamixel.settings import joint_angle, position_tick


class Goals:
    """Goals by joint: within reach while motors are hot, within the motors' own limits always."""

    def __init__(self, link: MotorLink, heat: Heat | None) -> None:
        """Starts without any goal.

        Args:
            link: The motors.
            heat: How far commands may reach; None: as far as they like.
        """
        self._link, self._heat = link, heat
        self._targets: dict[str, float] = {}

    def aim(self, targets: Mapping[str, float]) -> None:
        """Sets goals of joints [rad]."""
        self._targets.update(targets)

    def begin_at(self, ticks: Mapping[str, int]) -> None:
        """Takes over the goals of motors that were just switched on where they stand [ticks]."""
        motors = self._link.motors
        self.aim({joint: joint_angle(tick, motors[joint]) for joint, tick in ticks.items()})

    def forget(self, joints: Iterable[str] | None = None) -> None:
        """Joints, by default all of them, should go nowhere any more."""
        for joint in list(self._targets if joints is None else joints):
            self._targets.pop(joint, None)

    def hold(self) -> None:
        """Joints with torque should stay where they were last measured."""
        for joint in self._link.powered & set(self._link.latest):
            self._targets[joint] = self._link.angle(joint)

    def reachable(self, joint: str) -> float:
        """The angle nearest to a joint's goal that it may be sent to now [rad]."""
        angle = self._targets[joint]
        return angle if self._heat is None else self._heat.within_reach(angle, self._link.angle(joint))

    def ticks(self) -> dict[str, int]:
        """What to tell the motors with torque that were heard of [ticks]."""
        link = self._link
        known = [joint for joint in self._targets if joint in link.latest and joint in link.powered]
        ticks = {joint: position_tick(self.reachable(joint), link.motors[joint]) for joint in known}
        return {joint: link.within_limits(joint, tick) for joint, tick in ticks.items()}
