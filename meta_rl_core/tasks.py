# SPDX-License-Identifier: Apache-2.0
"""The contract every task family signs: what varies, what is measured, what is rewarded, how worlds step.

A family is a distribution over tasks (a vector of task parameters). Its reward model is a pure function of
signals measured after the action, so that the same code labels replay during meta-training, runs in the
robot's reward node and judges a report. Its worlds are simulators stepped many at once; they never compute
the reward, and of the task the observation shows what the family declares visible and no more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import ContractError

if TYPE_CHECKING:
    from pathlib import Path

    from meta_rl_core.runtime.robot_interface import RobotInterface
    from meta_rl_core.runtime.terms import Term

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FamilySpec:
    """Sizes and meaning of one task family.

    Attributes:
        name: Registered name, such as `dclaw-turn`.
        observation_dim: Length O of the observation.
        action_dim: Length A of the action; every action lies in [-1, 1].
        signal_names: Names of the S measured signals the reward model reads.
        task_names: Names (with unit suffix) of the K task parameters.
        horizon: Policy steps per episode.
        period_s: Time between policy steps [s]; None where there is no physical time.
        context_reward: Which reward the encoder sees; the critics always learn from the dense one.
        robot: Joints, observation terms and action meaning, as a robot needs them; None if it cannot run on one.
        visible_task_names: Task parameters that the observation tells; the first ones, where there are any.
        ranked_by_return: Whether the best policy of a run is the one with the highest return, as where a body is to run
            as fast as it can; otherwise the one that solves most tasks.
        effort_weight: What the sum of the squared actions costs in the dense reward, whatever else that is made of; 0
            where nothing like it is in there, or nothing that is known.
    """

    name: str
    observation_dim: int
    action_dim: int
    signal_names: tuple[str, ...]
    task_names: tuple[str, ...]
    horizon: int
    period_s: float | None
    context_reward: Literal["dense", "sparse"]
    robot: RobotInterface | None = None
    visible_task_names: tuple[str, ...] = ()
    ranked_by_return: bool = False
    effort_weight: float = 0.0


class Judgement(NamedTuple):
    """What a reward model says of one step (or of many at once)."""

    reward: Array
    """Dense reward, shape (...)."""
    sparse_reward: Array
    """Sparse reward, shape (...); equals `reward` for families without a sparse form."""
    error: Array
    """Distance to the goal in the family's unit, shape (...); for reports, never part of the context."""
    success: NDArray[np.bool_]
    """Whether this step counts as solved, shape (...)."""


class RewardModel(ABC):
    """Reward as a pure, vectorised function of measured signals and the action."""

    name: str
    signal_terms: tuple[Term, ...]
    """How the signals are assembled from joint readings, by joint name."""
    signal_names: tuple[str, ...]
    task_names: tuple[str, ...]
    goal_parameters: Mapping[str, str] = MappingProxyType({})
    """Where policies are told a goal: the task parameter that is the goal position of a joint, by joint."""

    @abstractmethod
    def judge(self, signals: Array, actions: Array, tasks: Array) -> Judgement:
        """Judges steps row by row; leading shapes broadcast.

        Args:
            signals: Signals measured after the action, shape (..., S).
            actions: Normalised actions, shape (..., A).
            tasks: Task parameters, shape (..., K).
        """


class WorldsStep(NamedTuple):
    """What N worlds show after one policy step."""

    observation: Array
    """Shape (N, O)."""
    signals: Array
    """Measured signals for the reward model, shape (N, S)."""
    terminal: NDArray[np.bool_]
    """Real ends such as falls, shape (N,); reaching the horizon is not one."""


class Worlds(ABC):
    """N worlds of one family, stepped at once."""

    count: int

    @abstractmethod
    def reset(self, tasks: Array, seeds: NDArray[np.int64]) -> Array:
        """Starts an episode in every world.

        Args:
            tasks: Task parameters, shape (N, K).
            seeds: One seed per world, shape (N,); a world's start depends on its own seed alone.

        Returns:
            Observations, shape (N, O).
        """

    @abstractmethod
    def step(self, actions: Array) -> WorldsStep:
        """Advances every world by one policy step.

        Args:
            actions: Shape (N, A), each within [-1, 1].

        Raises:
            InvalidValueError: If the shape is wrong.
            NonFiniteError: If an action is NaN or infinite; no world moves.
        """


class TaskFamily(ABC):
    """A distribution over tasks together with worlds to act in.

    Attributes:
        spec: Sizes and meaning.
        reward_model: The reward as a pure function.
        finite: Whether there are no more tasks than the training ones; held-out tasks are then the same ones.
        reserved_count: How many held-out tasks are a published list, which comes before fresh ones. Training runs
            choose their best policy on it.
        changes_dynamics: Whether the task changes how worlds move. A transition then belongs to the task it was
            lived in: judging it under another one would pair the motion of one body with another body's task.
    """

    spec: FamilySpec
    reward_model: RewardModel
    finite: bool = False
    reserved_count: int = 0
    changes_dynamics: bool = False

    @abstractmethod
    def training_tasks(self) -> Array:
        """The fixed training tasks, shape (n, K)."""

    @abstractmethod
    def heldout_tasks(self, count: int, seed: int) -> Array:
        """Tasks never trained on (unless the family is finite), shape (count, K); the same seed gives the same ones."""

    def unseen_tasks(self, count: int, seed: int) -> Array:
        """Held-out tasks without the published ones, shape (count, K): no run chose its best policy on them."""
        return self.heldout_tasks(self.reserved_count + count, seed)[self.reserved_count :]

    @abstractmethod
    def sample_tasks(self, count: int, generator: np.random.Generator) -> Array:
        """Fresh draws from the training distribution, shape (count, K); for families trained on more than a list."""

    def narrowed(self, path: Path) -> TaskFamily:
        """The same family with tasks drawn from the ranges in a file.

        Raises:
            ContractError: If the family has no such ranges.
            InvalidValueError: If the file is not in order.
        """
        del path
        raise ContractError(f"tasks of {self.spec.name!r} are not drawn from ranges in a file")

    def show_task(self, observation: Array, tasks: Array) -> Array:
        """Observations as they would be if the visible part of the task were another one, the motion being the same.

        Args:
            observation: Shape (..., O); it is not changed.
            tasks: Task parameters, shape (..., K), of which the visible ones count.

        Raises:
            ContractError: If the family's observation tells nothing of the task.
        """
        del observation, tasks
        raise ContractError(
            f"observations of {self.spec.name!r} tell nothing of the task: there is no goal to replace"
        )

    def potential(self, observation: Array, tasks: Array) -> Array:
        """What a body earns in one step by staying where it is, shape (...); for shaped rewards (`potential_weight`).

        Any function of observation and task leaves the best policy the best one; this one spares critics most.

        Args:
            observation: Shape (..., O).
            tasks: Task parameters, shape (..., K), broadcast against the observations.

        Raises:
            ContractError: If the family knows none.
        """
        del observation, tasks
        raise ContractError(
            f"{self.spec.name!r} has no potential to shape rewards with; set potential_weight=0"
        )

    def task_features(self, tasks: Array) -> Array:
        """Task parameters as a network should see them, shape (n, F): near tasks near each other, values about one.

        By default standardised by the training tasks; an angle, say, is better given as cosine and sine.
        """
        known = self.training_tasks()
        spread = known.std(axis=0)
        return (tasks - known.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0)

    @abstractmethod
    def make_worlds(self, count: int) -> Worlds:
        """Worlds that step together; the caller owns them."""
