# SPDX-License-Identifier: Apache-2.0
"""The task families `dclaw-turn`, `dclaw-turn-sparse` and `dclaw-turn-dynamics`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families import dclaw_dynamics
from meta_rl_core.families.dclaw_dynamics import (
    DClawDynamicsReward,
    DynamicsRanges,
    dynamics_tasks,
    show_target,
)
from meta_rl_core.families.dclaw_turn import (
    DClawTurnReward,
    heldout_targets,
    make_spec,
    sample_targets,
    training_targets,
)
from meta_rl_core.families.dynamics_file import read_ranges
from meta_rl_core.tasks import TaskFamily
from sim_bridge.dclaw.dynamics import DClawDynamicsWorlds
from sim_bridge.dclaw.worlds import DClawWorlds

Array = NDArray[np.float64]


class DClawTurnFamily(TaskFamily):
    """Turn the valve to an angle that only the reward knows."""

    def __init__(self, name: str, *, sparse: bool) -> None:
        """Names the family and decides which reward the encoder sees."""
        self.spec = make_spec(name, sparse=sparse)
        self.reward_model = DClawTurnReward()

    def training_tasks(self) -> Array:
        """The 100 training targets [rad], shape (100, 1)."""
        return training_targets()

    def heldout_tasks(self, count: int, seed: int) -> Array:
        """Targets [rad] never trained on, shape (count, 1).

        Raises:
            InvalidValueError: If count or seed is negative.
        """
        return heldout_targets(count, seed)

    def sample_tasks(self, count: int, generator: np.random.Generator) -> Array:
        """Fresh targets [rad], uniform on the circle, shape (count, 1)."""
        return sample_targets(count, generator)

    def task_features(self, tasks: Array) -> Array:
        """Cosine and sine of the targets, shape (n, 2): the circle has no seam."""
        return np.concatenate([np.cos(tasks), np.sin(tasks)], axis=-1)

    def make_worlds(self, count: int, threads: int | None = None) -> DClawWorlds:
        """Worlds that step together on `threads` threads (default: one per CPU)."""
        return DClawWorlds(count, threads)


def make_dclaw_turn() -> DClawTurnFamily:
    """Builds `dclaw-turn`: the encoder sees ROBEL's dense reward."""
    return DClawTurnFamily("dclaw-turn", sparse=False)


def make_dclaw_turn_sparse() -> DClawTurnFamily:
    """Builds `dclaw-turn-sparse`: the encoder sees reward only within 0.25 rad of the target."""
    return DClawTurnFamily("dclaw-turn-sparse", sparse=True)


class DClawDynamicsFamily(TaskFamily):
    """Turn the valve to an angle that is told, with servos, valve and delay that are not."""

    changes_dynamics = True

    def __init__(self, ranges: DynamicsRanges | None = None) -> None:
        """Draws its tasks from `ranges`, by default the widest ones it is trained for."""
        self.spec = dclaw_dynamics.make_spec()
        self.reward_model = DClawDynamicsReward()
        self._tasks = dynamics_tasks(ranges or DynamicsRanges())

    def training_tasks(self) -> Array:
        """The 200 training tasks, shape (200, 5)."""
        return self._tasks.training()

    def heldout_tasks(self, count: int, seed: int) -> Array:
        """Tasks never trained on, shape (count, 5).

        Raises:
            InvalidValueError: If count or seed is negative.
        """
        return self._tasks.heldout(count, seed)

    def sample_tasks(self, count: int, generator: np.random.Generator) -> Array:
        """Fresh tasks, shape (count, 5)."""
        return self._tasks.sample(count, generator)

    def task_features(self, tasks: Array) -> Array:
        """The body alone, standardised by the training bodies, shape (n, 4): what is visible need not be in z.

        Of the servo gain its logarithm, since a servo twice as stiff feels the same step away wherever one starts.
        """
        known = _body(self._tasks.training())
        spread = known.std(axis=0)
        return (_body(tasks) - known.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0)

    def narrowed(self, path: Path) -> DClawDynamicsFamily:
        """The family with bodies drawn from the ranges that `pitaya identify` wrote.

        Raises:
            InvalidValueError: If the file is not in order.
        """
        return DClawDynamicsFamily(read_ranges(path))

    def show_task(self, observation: Array, tasks: Array) -> Array:
        """The observation with the target of another task in it, shape (..., 31)."""
        return show_target(observation, tasks[..., 0])

    def make_worlds(self, count: int, threads: int | None = None) -> DClawDynamicsWorlds:
        """Worlds that step together on `threads` threads (default: one per CPU)."""
        return DClawDynamicsWorlds(count, threads)


def _body(tasks: Array) -> Array:
    """What is hidden of tasks (n, 5), shape (n, 4), with the logarithm of the servo gain."""
    return np.column_stack([np.log(tasks[:, 1]), tasks[:, 2:]])


def make_dclaw_turn_dynamics() -> DClawDynamicsFamily:
    """Builds `dclaw-turn-dynamics`: the body is hidden, the target is not."""
    return DClawDynamicsFamily()
