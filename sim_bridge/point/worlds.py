# SPDX-License-Identifier: Apache-2.0
"""Many points in the plane stepped at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.families.point_robot import make_robot
from meta_rl_core.tasks import Worlds, WorldsStep
from sim_bridge.checks import SimulationError, checked_array, checked_seeds
from sim_bridge.seeding import start_generator

Array = NDArray[np.float64]


def start_position(world_seed: int, half_range_m: float) -> Array:
    """Where a point starts [m], uniform in a square around the origin (0: at the origin), shape (2,)."""
    return half_range_m * start_generator(world_seed).uniform(-1.0, 1.0, size=2)


class PointWorlds(Worlds):
    """N independent points that reach every command within the step."""

    def __init__(self, count: int, start_half_range_m: float) -> None:
        """Prepares the points.

        Args:
            count: Number of worlds N.
            start_half_range_m: Half the side of the square in which episodes start; 0: the origin.

        Raises:
            InvalidValueError: If there is less than one world or the range is negative.
        """
        if count < 1 or not start_half_range_m >= 0.0:
            raise InvalidValueError(
                f"worlds must be 1 or more and the range not negative, got {count}, {start_half_range_m}"
            )
        self.count = count
        self._start_half_range_m = start_half_range_m
        self._robot = make_robot()
        self._position: Array = np.zeros((count, 2))
        self._started = False

    def reset(self, tasks: Array, seeds: NDArray[np.int64]) -> Array:
        """Starts an episode in every world; the goal changes nothing that can be seen.

        Args:
            tasks: Goals [m], shape (N, 2).
            seeds: One seed per world, shape (N,); a world's start depends on its own seed alone.

        Returns:
            Positions [m], shape (N, 2).

        Raises:
            InvalidValueError: If a shape is wrong or a seed negative.
            NonFiniteError: If a goal is NaN or infinite.
        """
        checked_array("tasks", tasks, (self.count, 2))
        starts = [
            start_position(int(seed), self._start_half_range_m) for seed in checked_seeds(seeds, self.count)
        ]
        self._position = np.stack(starts)
        self._started = True
        return self._position.copy()

    def step(self, actions: Array) -> WorldsStep:
        """Moves every point.

        Args:
            actions: Shape (N, 2), clipped to [-1, 1]; 1 moves by 0.1 m.

        Returns:
            Observations and signals, both positions [m], shape (N, 2); terminal flags (N,), all false.

        Raises:
            InvalidValueError: If the shape is wrong.
            NonFiniteError: If an action is NaN or infinite; no point moves.
            SimulationError: If `reset` was never called.
        """
        if not self._started:
            raise SimulationError("the worlds have no state yet: call reset before step")
        self._position = self._robot.command(
            checked_array("actions", actions, (self.count, 2)), self._position
        )
        return WorldsStep(self._position.copy(), self._position.copy(), np.zeros(self.count, dtype=np.bool_))
