# SPDX-License-Identifier: Apache-2.0
"""The paper's protocol: prior episodes first, all transitions as context, the last episode scored."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from meta_rl_core.pearl.evaluation import evaluate
from meta_rl_core.pearl.rollout import Explorer
from meta_rl_core.pearl.trainer import Trainer
from meta_rl_core.tasks import Array, WorldsStep
from tests.helpers.small_runs import small_config, small_explorer
from tests.helpers.told_networks import contexts_read, hypotheses_acted_on, say_always
from tests.helpers.toy_family import LineFamily, LineWorlds


def test_returns_and_final_errors_are_those_of_a_policy_that_stands_still() -> None:
    explorer = small_explorer()
    with torch.no_grad():
        explorer.agent.actor.network.layers[-1].weight.zero_()
        explorer.agent.actor.network.layers[-1].bias.zero_()
    tasks = np.array([[0.5], [-0.05]])
    result = evaluate(explorer, tasks, episodes=3, exploration_episodes=2, generator=np.random.default_rng(0))
    # Five steps at distance 0.5 and 0.05; 0.05 is within 0.1, which pays 1 per step in the sparse form.
    np.testing.assert_allclose(result.returns, [[-2.5] * 3, [-0.25] * 3])
    np.testing.assert_allclose(result.sparse_returns, [[0.0] * 3, [5.0] * 3])
    np.testing.assert_allclose(result.final_success, [[0.0] * 3, [1.0] * 3])
    assert result.steps == 2 * 3 * 5


def test_exploration_acts_on_the_prior_and_later_episodes_on_all_transitions_so_far() -> None:
    explorer = small_explorer()
    seen: list[int] = []
    infer = explorer.infer

    def spy(episodes, *arguments, **options):  # type: ignore[no-untyped-def]
        seen.append(sum(int(e.valid[0].sum()) for e in episodes))
        return infer(episodes, *arguments, **options)

    explorer.infer = spy  # type: ignore[method-assign]
    evaluate(
        explorer, np.zeros((2, 1)), episodes=4, exploration_episodes=2, generator=np.random.default_rng(0)
    )
    assert seen == [10, 15]


class ShortWorlds(LineWorlds):
    """Never move; the first one ends after two steps in each episode, the second after four, the third never."""

    def __init__(self, count: int) -> None:
        super().__init__(count, np.inf)
        self.steps = 0

    def reset(self, tasks: Array, seeds: NDArray[np.int64]) -> Array:
        self.steps = 0
        return super().reset(tasks, seeds)

    def step(self, actions: Array) -> WorldsStep:
        self.steps += 1
        result = super().step(0.0 * actions)
        return WorldsStep(result.observation, result.signals, self.steps >= np.array([2, 4, 99]))


def meet_short_worlds(least_steps: int) -> tuple[Array, int, list[list[int]]]:
    """Returns of three tasks whose episodes last two, four and five steps; the steps in all, and in each context."""
    explorer = small_explorer()
    explorer.family.make_worlds = lambda count, threads=1: ShortWorlds(count)  # type: ignore[method-assign]
    read: list[list[int]] = []
    infer = explorer.infer

    def spy(episodes, *arguments, **options):  # type: ignore[no-untyped-def]
        read.append(sum(e.valid.sum(axis=1) for e in episodes).tolist())
        return infer(episodes, *arguments, **options)

    explorer.infer = spy  # type: ignore[method-assign]
    result = evaluate(
        explorer,
        np.array([[1.0], [0.5], [-0.1]]),
        episodes=3,
        exploration_episodes=2,
        generator=np.random.default_rng(0),
        least_steps=least_steps,
    )
    return result.returns, result.steps, read


def test_without_a_count_of_steps_each_task_has_three_episodes_however_short() -> None:
    returns, steps, read = meet_short_worlds(0)
    np.testing.assert_allclose(returns, [[-2.0] * 3, [-2.0] * 3, [-0.5] * 3])
    assert steps == 3 * (2 + 4 + 5)
    assert read == [[4, 8, 10]]


def test_counted_in_steps_short_episodes_are_followed_by_more_until_as_many_are_lived() -> None:
    returns, steps, read = meet_short_worlds(15)
    # Eight episodes of two steps reach 15, four of four, three of five; the last one is finished.
    assert steps == 8 * 2 + 4 * 4 + 3 * 5
    assert returns.shape == (3, 8)
    np.testing.assert_allclose(returns, [[-2.0] * 8, [-2.0] * 8, [-0.5] * 8])
    assert read == [[4, 8, 10], [6, 12, 15], [8, 16, 15], [10, 16, 15], [12, 16, 15], [14, 16, 15]]


def test_a_task_that_had_fewer_episodes_is_scored_by_its_own_last_one() -> None:
    family = LineFamily()
    distances = iter([10.0, 20.0, 30.0, 40.0])

    class Worlds(ShortWorlds):
        def reset(self, tasks: Array, seeds: NDArray[np.int64]) -> Array:
            super().reset(tasks, seeds)
            self.position[:] = next(distances)
            return self.position[:, None].copy()

        def step(self, actions: Array) -> WorldsStep:
            result = super().step(actions)
            return WorldsStep(result.observation, result.signals, self.steps >= np.array([1, 3]))

    family.make_worlds = lambda count, threads=1: Worlds(count)  # type: ignore[method-assign]
    explorer = Explorer(family, small_explorer().agent)
    result = evaluate(
        explorer,
        np.zeros((2, 1)),
        episodes=2,
        exploration_episodes=1,
        generator=np.random.default_rng(0),
        least_steps=4,
    )
    # The first task lives four episodes of one step, the second two of three.
    np.testing.assert_allclose(result.returns, [[-10.0, -20.0, -30.0, -40.0], [-30.0, -60.0, -60.0, -60.0]])
    np.testing.assert_allclose(result.final_error, [[10.0, 20.0, 30.0, 40.0], [10.0, 20.0, 20.0, 20.0]])
    assert result.steps == 4 * 1 + 2 * 3


def test_evaluation_is_deterministic_given_its_generator() -> None:
    runs = [
        evaluate(
            small_explorer(),
            np.ones((3, 1)),
            episodes=3,
            exploration_episodes=1,
            generator=np.random.default_rng(4),
        )
        for _ in range(2)
    ]
    assert np.array_equal(runs[0].returns, runs[1].returns)


def test_the_mean_of_a_posterior_does_not_depend_on_the_draw() -> None:
    explorer = small_explorer()
    z = np.zeros((1, 5))
    lived = explorer.episode(np.ones((1, 1)), z, np.random.default_rng(0), deterministic=False)
    means = [explorer.infer([lived], "mean", np.random.default_rng(seed)) for seed in range(2)]
    assert np.array_equal(*means)
    context = explorer.agent.encode_context(
        *(
            torch.as_tensor(x, dtype=torch.float32)
            for x in (lived.observation, lived.action, lived.reward, lived.next_observation)
        )
    )
    with torch.no_grad():
        expected = explorer.agent.posterior(context)[0].numpy()
    assert means[0] == pytest.approx(expected, abs=1e-6)


def test_the_posterior_reads_each_transition_lived_so_far_once_however_small_training_contexts_are() -> None:
    explorer = small_explorer(context_size=4)
    lived: list[torch.Tensor] = []
    episode = explorer.episode

    def spy(*arguments, **options):  # type: ignore[no-untyped-def]
        result = episode(*arguments, **options)
        lived.append(explorer._encoded(result))
        return result

    explorer.episode = spy  # type: ignore[method-assign]
    read = contexts_read(explorer.agent)
    tasks = np.array([[0.5], [-0.7]])
    evaluate(explorer, tasks, episodes=4, exploration_episodes=2, generator=np.random.default_rng(0))
    # Two tasks after two episodes of five steps, and again after three.
    expected = [torch.cat(lived[:2], dim=1), torch.cat(lived[:3], dim=1)]
    assert [context.shape[1] for context in read] == [10, 10, 15, 15]
    for index, context in enumerate(read):
        assert torch.equal(context[0], expected[index // 2][index % 2])


def test_adapted_episodes_act_on_a_sample_of_the_posterior_and_exploring_ones_of_the_prior() -> None:
    explorer = small_explorer(context_size=4)
    say_always(explorer.agent, 1.0, 1.0)
    acted = hypotheses_acted_on(explorer)
    evaluate(
        explorer, np.zeros((400, 1)), episodes=4, exploration_episodes=2, generator=np.random.default_rng(0)
    )
    # Each transition says N(1, 1): ten of them N(1, 1 / 10), fifteen N(1, 1 / 15). 400 tasks, 5 dimensions.
    for z, mean, std in zip(acted, (0.0, 0.0, 1.0, 1.0), (1.0, 1.0, 10**-0.5, 15**-0.5), strict=True):
        assert z.mean() == pytest.approx(mean, abs=0.05)
        assert z.std() == pytest.approx(std, rel=0.06)
    assert len(np.unique(np.concatenate(acted), axis=0)) == 1600


class NearerWorlds(LineWorlds):
    """Never move; stand 10 from the goal in the first episode, 20 in the second, on it in the third."""

    def __init__(self, count: int) -> None:
        super().__init__(count, np.inf)
        self.episodes = 0

    def reset(self, tasks: Array, seeds: NDArray[np.int64]) -> Array:
        away = (10.0, 20.0, 0.0)[self.episodes % 3]
        self.episodes += 1
        observation = super().reset(tasks, seeds)
        self.position = tasks[:, 0] + away
        return observation

    def step(self, actions: Array) -> WorldsStep:
        result = super().step(0.0 * actions)
        return result._replace(observation=np.zeros_like(result.observation))


def test_a_row_of_progress_scores_the_first_and_the_last_episode_and_none_between(tmp_path: Path) -> None:
    family = LineFamily()
    family.changes_dynamics = True
    family.make_worlds = NearerWorlds  # type: ignore[assignment]
    Trainer(family, small_config(), tmp_path).run()
    with (tmp_path / "progress.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    # Five steps each; on the goal the sparse reward is 1 a step. The mean over all three would be a return of -50.
    for name, first, adapted in (
        ("return", -50.0, 0.0),
        ("sparse", 0.0, 5.0),
        ("success", 0.0, 1.0),
        ("error", 10.0, 0.0),
    ):
        assert (float(row[f"{name}_first"]), float(row[f"{name}_adapted"])) == (first, adapted)
