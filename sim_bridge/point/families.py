# SPDX-License-Identifier: Apache-2.0
"""The task families `point-robot` and `sparse-point-robot`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families import point_robot as core
from meta_rl_core.tasks import TaskFamily
from sim_bridge.point.worlds import PointWorlds

Array = NDArray[np.float64]
START_HALF_RANGE_M = 1.0
"""`point-robot` starts anywhere in the square of its goals, `sparse-point-robot` at the origin."""


class PointRobotFamily(TaskFamily):
    """Goals in a square, dense reward."""

    reserved_count = core.LISTED_COUNT - core.TRAINING_COUNT

    def __init__(self) -> None:
        """Builds spec and reward model."""
        self.spec = core.make_spec("point-robot", sparse=False)
        self.reward_model = core.PointRobotReward()

    def training_tasks(self) -> Array:
        """The first 80 of PEARL's 100 listed goals [m], shape (80, 2)."""
        return core.listed_square_goals()[: core.TRAINING_COUNT]

    def heldout_tasks(self, count: int, seed: int) -> Array:
        """The other 20 in seeded order, then fresh goals [m], shape (count, 2).

        Raises:
            InvalidValueError: If count or seed is negative.
        """
        return core.heldout_square_goals(count, seed)

    def sample_tasks(self, count: int, generator: np.random.Generator) -> Array:
        """Fresh goals [m], uniform in the square, shape (count, 2)."""
        return core.sample_square_goals(count, generator)

    def make_worlds(self, count: int) -> PointWorlds:
        """Points that start anywhere in the square."""
        return PointWorlds(count, START_HALF_RANGE_M)


class SparsePointRobotFamily(TaskFamily):
    """Goals on a half circle; the encoder sees reward only within 0.2 m of the goal."""

    reserved_count = core.LISTED_COUNT - core.TRAINING_COUNT

    def __init__(self) -> None:
        """Builds spec and reward model."""
        self.spec = core.make_spec("sparse-point-robot", sparse=True)
        self.reward_model = core.PointRobotReward()

    def training_tasks(self) -> Array:
        """The first 80 of PEARL's 100 listed goals [m], shape (80, 2)."""
        return core.listed_half_circle_goals()[: core.TRAINING_COUNT]

    def heldout_tasks(self, count: int, seed: int) -> Array:
        """The other 20 in seeded order, then fresh goals [m], shape (count, 2).

        Raises:
            InvalidValueError: If count or seed is negative.
        """
        return core.heldout_half_circle_goals(count, seed)

    def sample_tasks(self, count: int, generator: np.random.Generator) -> Array:
        """Fresh goals [m], uniform on the half circle, shape (count, 2)."""
        return core.sample_half_circle_goals(count, generator)

    def make_worlds(self, count: int) -> PointWorlds:
        """Points that start at the origin."""
        return PointWorlds(count, 0.0)


def make_point_robot() -> PointRobotFamily:
    """Builds `point-robot`."""
    return PointRobotFamily()


def make_sparse_point_robot() -> SparsePointRobotFamily:
    """Builds `sparse-point-robot`."""
    return SparsePointRobotFamily()
