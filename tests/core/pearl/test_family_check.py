# SPDX-License-Identifier: Apache-2.0
"""A family that breaks the contract is refused before its run folder exists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meta_rl_core.errors import ContractError
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.family_check import check_family
from meta_rl_core.pearl.trainer import Trainer
from meta_rl_core.registry import load_family
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


def ending(terminal: Any) -> type[LineWorlds]:
    """Worlds that say `terminal` of two of them."""

    class Ending(LineWorlds):
        def step(self, actions: Array) -> WorldsStep:
            return super().step(actions)._replace(terminal=terminal)

    return Ending


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


class ScoredSuccess(LineReward):
    """How nearly it is solved, where it should say whether."""

    def judge(self, signals: Array, actions: Array, tasks: Array):  # type: ignore[no-untyped-def]
        judged = super().judge(signals, actions, tasks)
        return judged._replace(success=np.exp(-judged.error))


def rewarded_by(model: type[LineReward]) -> Callable[[], LineFamily]:
    def make() -> LineFamily:
        family = LineFamily()
        family.reward_model = model()
        return family

    return make


def drawing(method: str, tasks: Any) -> Callable[[], LineFamily]:
    """A family of which one kind of tasks is always `tasks`."""

    def make() -> LineFamily:
        family = LineFamily()
        setattr(family, method, lambda *_: tasks)
        return family

    return make


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (family_of(ShowingWorlds), r"reset\(\) of 'line' differs between two tasks at elements \[0\]"),
        (family_of(LeakingWorlds), r"step\(\) of 'line' differs between two tasks"),
        (family_of(FlatWorlds), r"must have shape \(2, 1\) for two worlds, got \(2,\)"),
        (family_of(ManySignals), r"signals of step\(\) of 'line' must have shape \(2, 1\)"),
        (
            family_of(ending(np.zeros(2))),
            r"terminal of step\(\) of 'line' must be an array of bool.*got float64",
        ),
        (family_of(ending(np.zeros(2, np.int64))), r"must be an array of bool.*got int64"),
        (family_of(ending([False, False])), r"must be an array of bool.*got list"),
        (family_of(ending(np.zeros((2, 1), np.bool_))), r"must have shape \(2,\) for two worlds"),
        (rewarded_by(LogReward), r"reward of judge\(\) of 'line' holds NaN or infinity"),
        (rewarded_by(ScoredSuccess), r"success of judge\(\) of 'line' must be an array of bool.*got float64"),
        (
            drawing("training_tasks", np.zeros((6, 2))),
            r"training_tasks\(\) of 'line' must have shape \(n, 1\)",
        ),
        (
            drawing("training_tasks", ["left", "right"]),
            r"training_tasks\(\) of 'line' must be an array of numbers",
        ),
        (
            drawing("training_tasks", [[0.0], [1.0, 2.0]]),
            r"training_tasks\(\) .* must be an array of numbers",
        ),
        (
            drawing("heldout_tasks", np.zeros((2, 2))),
            r"heldout_tasks\(2, seed\) of 'line' must have shape \(2, 1\) one column per task name, got \(2, 2\)",
        ),
        (drawing("heldout_tasks", np.zeros((5, 1))), r"heldout_tasks\(2, seed\) .* got \(5, 1\)"),
        (
            drawing("heldout_tasks", np.full((2, 1), np.nan)),
            r"heldout_tasks\(2, seed\) .* holds NaN or infinity",
        ),
        (drawing("sample_tasks", np.zeros((2, 3))), r"sample_tasks\(2, generator\) .* got \(2, 3\)"),
        (
            drawing("sample_tasks", np.full((2, 1), np.inf)),
            r"sample_tasks\(2, generator\) .* holds NaN or infinity",
        ),
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


def test_a_task_that_moves_the_body_must_not_show_before_it_moves() -> None:
    family = family_of(ShowingWorlds)()
    family.changes_dynamics = True
    with pytest.raises(ContractError, match=r"reset\(\) of 'line' differs .* or start every body alike"):
        check_family(family)


def test_what_is_named_visible_may_show_from_the_start() -> None:
    family = family_of(ShowingWorlds)()
    family.spec = replace(family.spec, visible_task_names=("goal",))
    check_family(family)


@pytest.mark.parametrize("name", ["dclaw-turn-dynamics", "hopper-params", "walker-params"])
def test_bodies_that_differ_start_alike_and_move_differently(name: str) -> None:
    family = load_family(name)
    assert family.changes_dynamics
    check_family(family)
    family.changes_dynamics = False
    with pytest.raises(ContractError, match=r"step\(\) of .* or set changes_dynamics"):
        check_family(family)
