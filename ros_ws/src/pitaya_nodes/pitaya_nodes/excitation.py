# SPDX-License-Identifier: Apache-2.0
"""A scripted motion from which a body can be identified: random poses, each held for a while. Knows no ROS."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.runtime.robot_interface import RobotInterface
from meta_rl_core.runtime.terms import JointReading
from pitaya_nodes.schedule import TickSchedule

Array = NDArray[np.float64]
HELD_PERIODS = 4
SPREAD = 0.8
"""Standard deviation of the normalised actions; beyond one they are cut off."""
_SOFT_PERIODS = 5
"""The first actions are smaller, so that nothing begins with a jump."""


class Excitation:
    """Answers joint states with commands for one episode; the same seed gives the same actions.

    Attributes:
        step: Periods begun.
        done: Whether the last period has ended.
    """

    def __init__(
        self, robot: RobotInterface, generator: np.random.Generator, steps: int, first_ns: int
    ) -> None:
        """Draws the actions.

        Args:
            robot: What an action means, and how often.
            generator: Draws the poses.
            steps: Periods to move.
            first_ns: Stamp of the first state of the episode [ns]; older ones belong to the past.
        """
        poses = generator.normal(0.0, SPREAD, (-(-steps // HELD_PERIODS), robot.action_dim))
        softness = np.minimum(np.arange(1, steps + 1) / _SOFT_PERIODS, 1.0)
        held = np.repeat(np.clip(poses, -1.0, 1.0), HELD_PERIODS, axis=0)[:steps]
        self.actions: Array = held * softness[:, None]
        self.step, self.done = 0, False
        self._robot, self._first_ns = robot, first_ns
        self._schedule = TickSchedule(robot.period_s, first_ns)
        self._seen_ns = first_ns - 1
        self._answered: tuple[int, Array] | None = None

    def answer(self, reading: JointReading) -> Array | None:
        """The command [rad] for a state whose joints are in the robot's order, or None if it needs none.

        The same state again gets the same command again, since the first one may have been lost.
        """
        stamp_ns = reading.stamp_ns
        if stamp_ns <= self._seen_ns:
            return self._answered[1] if self._answered and self._answered[0] == stamp_ns else None
        self._seen_ns = stamp_ns
        if self.done or not self._schedule.ticks(stamp_ns):
            return None
        if self.step == len(self.actions):
            self.done = True
            return None
        command = self._robot.command(self.actions[self.step], reading.position)
        self.step += 1
        self._answered = (stamp_ns, command)
        return command
