# SPDX-License-Identifier: Apache-2.0
"""A family that breaks the contract is refused before its run folder exists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from meta_rl_core.errors import ContractError
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.family_check import check_family
from meta_rl_core.pearl.trainer import Trainer
from meta_rl_core.tasks import Array, WorldsStep
from tests.helpers.toy_family import LineFamily, LineReward, LineWorlds


class ShowingWorlds(LineWorlds):
    """Puts the goal where the position belongs."""

    def reset(self, tasks: Array, seeds: Array) -> Array:
        return super().reset(tasks, seeds) + tasks


class LeakingWorlds(LineWorlds):
    """Shows the goal from the second step on."""

    def reset(self, tasks: Array, seeds: Array) -> Array:
        self.tasks = tasks
        return super().reset(tasks, seeds)

    def step(self, actions: Array) -> WorldsStep:
        result = super().step(actions)
        return result._replace(observation=result.observation + self.tasks)


class FlatWorlds(LineWorlds):
    """Forgets the dimension of the observation."""

    def reset(self, tasks: Array, seeds: Array) -> Array:
        return super().reset(tasks, seeds)[:, 0]


class ManySignals(LineWorlds):
    """Measures twice."""

    def step(self, actions: Array) -> WorldsStep:
        result = super().step(actions)
        return result._replace(signals=np.repeat(result.signals, 2, axis=1))


class LogReward(LineReward):
    """The logarithm of a distance that can be 0."""

    def judge(self, signals: Array, actions: Array, tasks: Array):  # type: ignore[no-untyped-def]
        return super().judge(signals, actions, tasks)._replace(reward=np.full(signals.shape[:-1], -np.inf))


def family_of(worlds: type[LineWorlds]) -> Callable[[], LineFamily]:
    def make() -> LineFamily:
        family = LineFamily()
        family.make_worlds = lambda count: worlds(count, np.inf)  # type: ignore[method-assign]
        return family

    return make


def with_a_bad_reward() -> LineFamily:
    family = LineFamily()
    family.reward_model = LogReward()
    return family


def with_bad_tasks() -> LineFamily:
    family = LineFamily()
    family.training_tasks = lambda: np.zeros((6, 2))  # type: ignore[method-assign]
    return family


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (family_of(ShowingWorlds), r"reset\(\) of 'line' differs between two tasks at elements \[0\]"),
        (family_of(LeakingWorlds), r"step\(\) of 'line' differs between two tasks"),
        (family_of(FlatWorlds), r"must have shape \(2, 1\) for two worlds, got \(2,\)"),
        (family_of(ManySignals), r"signals of step\(\) of 'line' must have shape \(2, 1\)"),
        (with_a_bad_reward, r"reward of judge\(\) of 'line' holds NaN or infinity"),
        (with_bad_tasks, r"training_tasks\(\) of 'line' must have shape \(n, 1\)"),
    ],
)
def test_a_broken_contract_is_named_before_training_starts(
    tmp_path: Path, make: Callable[[], LineFamily], said: str
) -> None:
    with pytest.raises(ContractError, match=said):
        Trainer(make(), PearlConfig("line", replay_capacity=100), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_task_that_moves_the_body_may_show_in_the_motion() -> None:
    family = family_of(LeakingWorlds)()
    family.changes_dynamics = True
    check_family(family)
