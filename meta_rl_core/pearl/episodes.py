# SPDX-License-Identifier: Apache-2.0
"""Episodes as collected: N worlds side by side, a mask where a world had already ended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.tasks import Array


@dataclass(frozen=True)
class Episodes:
    """One episode in each of N worlds, H steps long at most.

    Attributes:
        observation: Shape (N, H, O).
        action: Shape (N, H, A).
        next_observation: Shape (N, H, O).
        signals: Measured signals after the action, shape (N, H, S).
        reward: Dense reward, shape (N, H).
        sparse_reward: Sparse reward, shape (N, H).
        error: Distance to the goal, shape (N, H).
        success: Whether a step counts as solved, shape (N, H).
        terminal: Real ends, shape (N, H).
        valid: False after a world's real end, shape (N, H).
    """

    observation: Array
    action: Array
    next_observation: Array
    signals: Array
    reward: Array
    sparse_reward: Array
    error: Array
    success: NDArray[np.bool_]
    terminal: NDArray[np.bool_]
    valid: NDArray[np.bool_]

    def returns(self, *, sparse: bool = False) -> Array:
        """Undiscounted return of each world, shape (N,)."""
        rewards = self.sparse_reward if sparse else self.reward
        total: Array = (rewards * self.valid).sum(axis=1)
        return total

    def context_reward(self, kind: str) -> Array:
        """The reward the encoder sees, shape (N, H)."""
        return self.sparse_reward if kind == "sparse" else self.reward

    @property
    def steps(self) -> int:
        """Environment steps that really happened."""
        return int(self.valid.sum())
