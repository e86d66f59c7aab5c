# SPDX-License-Identifier: Apache-2.0
"""A family small enough to work out by hand: a point on a line must stand on a hidden goal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.tasks import Array, FamilySpec, Judgement, RewardModel, TaskFamily, Worlds, WorldsStep


class LineReward(RewardModel):
    """Minus the distance to the goal."""

    name = "line"
    signal_terms = ()
    signal_names = ("position",)
    task_names = ("goal",)

    def judge(self, signals: Array, actions: Array, tasks: Array) -> Judgement:
        del actions
        error = np.abs(signals[..., 0] - tasks[..., 0])
        return Judgement(-error, np.where(error < 0.1, 1.0, 0.0), error, error < 0.1)


class LineWorlds(Worlds):
    """Starts at 0, moves 0.2 per full action; falls off (terminal) beyond `edge`."""

    def __init__(self, count: int, edge: float) -> None:
        self.count = count
        self.edge = edge
        self.position = np.zeros(count)

    def reset(self, tasks: Array, seeds: NDArray[np.int64]) -> Array:
        del tasks, seeds
        self.position = np.zeros(self.count)
        return self.position[:, None].copy()

    def step(self, actions: Array) -> WorldsStep:
        self.position = self.position + 0.2 * actions[:, 0]
        observation = self.position[:, None].copy()
        return WorldsStep(observation, observation.copy(), np.abs(self.position) > self.edge)


class LineFamily(TaskFamily):
    """Goals on [-1, 1]."""

    def __init__(self, *, horizon: int = 5, edge: float = np.inf, sparse: bool = False) -> None:
        kind = "sparse" if sparse else "dense"
        self.spec = FamilySpec("line", 1, 1, ("position",), ("goal",), horizon, None, kind)  # type: ignore[arg-type]
        self.reward_model = LineReward()
        self.edge = edge

    def training_tasks(self) -> Array:
        return np.linspace(-1.0, 1.0, 6)[:, None]

    def heldout_tasks(self, count: int, seed: int) -> Array:
        return np.random.default_rng(seed).uniform(-1.0, 1.0, size=(count, 1))

    def sample_tasks(self, count: int, generator: np.random.Generator) -> Array:
        return generator.uniform(-1.0, 1.0, size=(count, 1))

    def make_worlds(self, count: int) -> LineWorlds:
        return LineWorlds(count, self.edge)
