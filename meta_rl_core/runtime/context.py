# SPDX-License-Identifier: Apache-2.0
"""Transitions, and the rows of context that the encoder reads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Transition(NamedTuple):
    """One step as the encoder may see it."""

    observation: Array
    """Before the action, shape (O,)."""
    action: Array
    """The normalised action that was executed, shape (A,)."""
    reward: float
    """Raw context reward of the step, judged on the state after the action."""
    next_observation: Array
    """After the action, shape (O,)."""


def context_row(
    observation: Array, action: Array, reward: Array, next_observation: Array | None, reward_scale: float
) -> Array:
    """Encoder input [observation, action, reward * scale(, next observation)], shape (..., C).

    Args:
        observation: Shape (..., O).
        action: Shape (..., A).
        reward: Shape (...).
        next_observation: Shape (..., O), or None where the encoder does not read it.
        reward_scale: Factor on the reward.
    """
    parts = [observation, action, np.asarray(reward, dtype=np.float64)[..., np.newaxis] * reward_scale]
    if next_observation is not None:
        parts.append(next_observation)
    return np.concatenate(parts, axis=-1)


def change_row(
    observation: Array,
    action: Array,
    reward: Array,
    next_observation: Array,
    reward_scale: float,
    belief_mean: Array,
    belief_variance: Array,
) -> Array:
    """What the change network reads, shape (..., R): [observation, action, reward * scale, next, mean, log std].

    Args:
        observation: Shape (..., O).
        action: Shape (..., A).
        reward: Shape (...).
        next_observation: Shape (..., O).
        reward_scale: Factor on the reward.
        belief_mean: Mean of the belief from before the transition, shape (..., latent).
        belief_variance: Its variance, shape (..., latent).
    """
    transition = context_row(observation, action, reward, next_observation, reward_scale)
    return np.concatenate([transition, belief_mean, 0.5 * np.log(belief_variance)], axis=-1)
