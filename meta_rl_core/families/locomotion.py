# SPDX-License-Identifier: Apache-2.0
"""What PEARL's locomotion families share: horizon, form of the reward, and what counts as walking."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families.rows import checked_rows, sum_of_squares
from meta_rl_core.runtime.terms import Term
from meta_rl_core.tasks import FamilySpec, Judgement, RewardModel

Array = NDArray[np.float64]
HORIZON = 200
WALKING_PACE_M_S = 1.0
"""Families that ask for speed and name no target count a step as solved from here on."""


class Verdict(NamedTuple):
    """Reward, error and success of steps; shapes broadcast to those of the judgement."""

    reward: Array
    error: Array
    success: NDArray[np.bool_]


class LocomotionReward(RewardModel):
    """Reward from motion, minus a cost of effort; there is no sparse form.

    The signals come from a simulator that knows where the body is: no robot assembles them from joint readings.
    """

    signal_terms: tuple[Term, ...] = ()
    action_dim: int
    effort_weight: float
    """What the sum of the squared actions costs."""

    def judge(self, signals: Array, actions: Array, tasks: Array) -> Judgement:
        """Judges steps row by row; leading shapes of signals, actions and tasks broadcast.

        Args:
            signals: Shape (..., S).
            actions: Shape (..., A), clipped to [-1, 1] as the worlds do.
            tasks: Shape (..., K).

        Raises:
            InvalidValueError: If a last dimension is wrong.
        """
        signals = checked_rows("signals", signals, len(self.signal_names))
        actions = checked_rows("actions", actions, self.action_dim)
        tasks = checked_rows("tasks", tasks, len(self.task_names))
        effort = sum_of_squares(np.clip(actions, -1.0, 1.0))
        verdict = self.rate(signals, effort, tasks)
        shape = np.broadcast_shapes(signals.shape[:-1], effort.shape, tasks.shape[:-1])
        reward, error = (np.broadcast_to(values, shape).copy() for values in verdict[:2])
        return Judgement(reward, reward.copy(), error, np.broadcast_to(verdict.success, shape).copy())

    @abstractmethod
    def rate(self, signals: Array, effort: Array, tasks: Array) -> Verdict:
        """The family's own formula.

        Args:
            signals: Shape (..., S).
            effort: Sum of the squared actions, shape (...).
            tasks: Shape (..., K).
        """


def rate_speed(reward: Array, speed_m_s: Array) -> Verdict:
    """Verdict where more speed is better: the error is what is missing to walking pace [m/s]."""
    return Verdict(
        reward, np.maximum(WALKING_PACE_M_S - speed_m_s, 0.0), np.asarray(speed_m_s >= WALKING_PACE_M_S)
    )


def make_spec(name: str, reward: LocomotionReward, observation_dim: int, period_s: float) -> FamilySpec:
    """Sizes and meaning of a locomotion family, dense in its context."""
    return FamilySpec(
        name=name,
        observation_dim=observation_dim,
        action_dim=reward.action_dim,
        signal_names=reward.signal_names,
        task_names=reward.task_names,
        horizon=HORIZON,
        period_s=period_s,
        context_reward="dense",
        ranked_by_return=True,
        effort_weight=reward.effort_weight,
    )
