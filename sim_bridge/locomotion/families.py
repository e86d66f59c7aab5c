# SPDX-License-Identifier: Apache-2.0
"""The locomotion task families, by the names they are registered under."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families import locomotion_cheetah
from meta_rl_core.families.distribution import FiniteTasks, TaskDistribution
from meta_rl_core.families.locomotion import LocomotionReward, make_spec
from meta_rl_core.tasks import TaskFamily
from sim_bridge.locomotion.cheetah import CheetahWorlds
from sim_bridge.locomotion.worlds import LocomotionWorlds

Array = NDArray[np.float64]


class LocomotionFamily(TaskFamily):
    """A body, a distribution of tasks and a reward."""

    def __init__(
        self,
        reward: LocomotionReward,
        tasks: TaskDistribution,
        worlds: type[LocomotionWorlds],
        observation_dim: int,
        period_s: float,
        *,
        changes_dynamics: bool = False,
    ) -> None:
        """Puts the parts together; the family has its reward model's name."""
        self.spec = make_spec(reward.name, reward, observation_dim, period_s)
        self.reward_model: LocomotionReward = reward
        self.finite = isinstance(tasks, FiniteTasks)
        self.changes_dynamics = changes_dynamics
        self._tasks = tasks
        self._worlds = worlds

    def training_tasks(self) -> Array:
        """The fixed training tasks, shape (n, K)."""
        return self._tasks.training()

    def heldout_tasks(self, count: int, seed: int) -> Array:
        """Tasks never trained on (where the family is not finite), shape (count, K).

        Raises:
            InvalidValueError: If count or seed is negative.
        """
        return self._tasks.heldout(count, seed)

    def sample_tasks(self, count: int, generator: np.random.Generator) -> Array:
        """Fresh draws, shape (count, K)."""
        return self._tasks.sample(count, generator)

    def make_worlds(self, count: int, threads: int | None = None) -> LocomotionWorlds:
        """Worlds that step together on `threads` threads (default: one per CPU)."""
        return self._worlds(self.reward_model, self.spec.observation_dim, count, threads)


def make_cheetah_vel() -> LocomotionFamily:
    """Builds `cheetah-vel`: run at a hidden speed between 0 and 3 m/s."""
    core = locomotion_cheetah
    return LocomotionFamily(
        core.CheetahVelocityReward(),
        core.velocity_tasks(),
        CheetahWorlds,
        core.OBSERVATION_DIM,
        core.PERIOD_S,
    )


def make_cheetah_dir() -> LocomotionFamily:
    """Builds `cheetah-dir`: run forward or backward."""
    core = locomotion_cheetah
    return LocomotionFamily(
        core.CheetahDirectionReward(),
        core.direction_tasks(),
        CheetahWorlds,
        core.OBSERVATION_DIM,
        core.PERIOD_S,
    )
