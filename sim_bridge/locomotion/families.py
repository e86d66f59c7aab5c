# SPDX-License-Identifier: Apache-2.0
"""The locomotion task families, by the names they are registered under."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families import (
    locomotion_ant,
    locomotion_cheetah,
    locomotion_humanoid,
    locomotion_params,
)
from meta_rl_core.families.distribution import FiniteTasks, TaskDistribution
from meta_rl_core.families.locomotion import LocomotionReward, make_spec
from meta_rl_core.tasks import TaskFamily
from sim_bridge.locomotion.ant import AntDirectionWorlds, AntGoalWorlds
from sim_bridge.locomotion.cheetah import CheetahWorlds
from sim_bridge.locomotion.humanoid import HumanoidWorlds
from sim_bridge.locomotion.random_params import HopperParamsWorlds, WalkerParamsWorlds
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
        potential: Callable[[Array, Array], Array] | None = None,
    ) -> None:
        """Puts the parts together; the family has its reward model's name."""
        self.spec = make_spec(reward.name, reward, observation_dim, period_s)
        self.reward_model: LocomotionReward = reward
        self.finite = isinstance(tasks, FiniteTasks)
        self.reserved_count = tasks.reserved_count
        self.changes_dynamics = changes_dynamics
        self._tasks = tasks
        self._worlds = worlds
        self._potential = potential

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

    def potential(self, observation: Array, tasks: Array) -> Array:
        """What resting where a body is would earn it in a step, shape (...).

        Raises:
            ContractError: If the family knows no such thing.
        """
        if self._potential is None:
            return super().potential(observation, tasks)
        return self._potential(observation, tasks)

    def make_worlds(self, count: int, threads: int | None = None) -> LocomotionWorlds:
        """Worlds that step together on `threads` threads (default: one per CPU)."""
        return self._worlds(self.reward_model, self.spec.observation_dim, count, threads)


def make_cheetah_vel() -> LocomotionFamily:
    """Builds `cheetah-vel`: run at a hidden speed between 0 and 3 m/s."""
    tasks = locomotion_cheetah.velocity_tasks()
    return LocomotionFamily(locomotion_cheetah.CheetahVelocityReward(), tasks, CheetahWorlds, 20, 0.05)


def make_cheetah_dir() -> LocomotionFamily:
    """Builds `cheetah-dir`: run forward or backward."""
    tasks = locomotion_cheetah.direction_tasks()
    return LocomotionFamily(locomotion_cheetah.CheetahDirectionReward(), tasks, CheetahWorlds, 20, 0.05)


def make_ant_dir() -> LocomotionFamily:
    """Builds `ant-dir`: run forward or backward."""
    tasks = locomotion_ant.direction_tasks()
    return LocomotionFamily(locomotion_ant.AntDirectionReward(), tasks, AntDirectionWorlds, 27, 0.05)


def make_ant_goal() -> LocomotionFamily:
    """Builds `ant-goal`: run to a hidden goal up to 3 m away."""
    tasks = locomotion_ant.goal_tasks()
    reward = locomotion_ant.AntGoalReward()
    return LocomotionFamily(reward, tasks, AntGoalWorlds, 113, 0.05, potential=locomotion_ant.nearness)


def make_humanoid_dir() -> LocomotionFamily:
    """Builds `humanoid-dir`: run in any hidden direction."""
    tasks = locomotion_humanoid.direction_tasks()
    reward = locomotion_humanoid.HumanoidDirectionReward()
    return LocomotionFamily(reward, tasks, HumanoidWorlds, 376, 0.015)


def make_walker_params() -> LocomotionFamily:
    """Builds `walker-params`: run forward with a hidden build."""
    tasks = locomotion_params.build_tasks(locomotion_params.WALKER)
    reward = locomotion_params.WalkerParamsReward()
    return LocomotionFamily(reward, tasks, WalkerParamsWorlds, 17, 0.008, changes_dynamics=True)


def make_hopper_params() -> LocomotionFamily:
    """Builds `hopper-params`: hop forward with a hidden build."""
    tasks = locomotion_params.build_tasks(locomotion_params.HOPPER)
    reward = locomotion_params.HopperParamsReward()
    return LocomotionFamily(reward, tasks, HopperParamsWorlds, 11, 0.008, changes_dynamics=True)
