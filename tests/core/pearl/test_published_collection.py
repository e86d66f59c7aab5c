# SPDX-License-Identifier: Apache-2.0
"""Collection keeps the points of the published loop that are easily got wrong, and so do the batches made of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from meta_rl_core.pearl.plans import CollectionConfig
from tests.helpers.small_runs import RELABELLED, small_learner
from tests.helpers.told_networks import (
    act_by_chance,
    contexts_read,
    hypotheses_acted_on,
    say_always,
    walk_ahead,
)
from tests.helpers.toy_family import LineFamily

GOALS = np.linspace(-1.0, 1.0, 6)
# Full speed ahead leads to 0.2, 0.4, 0.6, 0.8 and 1.0; a step within 0.1 of the goal pays 1 in the sparse form.
SPARSE = np.zeros((6, 5))
SPARSE[3, 0] = SPARSE[4, 2] = SPARSE[5, 4] = 1.0
DENSE = -np.abs(np.array([0.2, 0.4, 0.6, 0.8, 1.0]) - GOALS[:, None])
BOTH_REPLAYS = pytest.mark.parametrize("settings", [{}, RELABELLED])
BOTH_REWARDS = pytest.mark.parametrize("sparse", [False, True])


@BOTH_REPLAYS
def test_the_end_of_the_horizon_is_no_end_and_a_fall_in_the_last_step_is_one(
    settings: dict[str, Any],
) -> None:
    # Beyond 0.9 it falls: in the fifth of five steps.
    for edge, ends in ((np.inf, [0.0] * 5), (0.9, [0.0] * 4 + [1.0])):
        learner = small_learner(LineFamily(edge=edge), **settings)
        walk_ahead(learner.agent)
        learner.collect_initial()
        learner.collect()
        store = learner.replay.store
        assert store.columns["terminal"][: store.size].reshape(-1, 5).unique(dim=0).tolist() == [ends]
        batch = learner.make_batch()
        torch.testing.assert_close(batch.terminal, (batch.next_observation[..., 0] > edge).float())


@pytest.mark.parametrize(
    ("settings", "visit", "transitions"),
    [
        # The 10 transitions of two episodes: 25 of them can only be drawn with replacement.
        ({}, (2, 0, 2), 25),
        ({}, (1, 2, 0), 25),
        # With relabelling everything that was lived counts, as on a robot.
        (RELABELLED, (2, 1, 0), 10),
    ],
)
def test_collecting_acts_on_a_sample_of_what_a_drawn_context_says(
    settings: dict[str, Any], visit: tuple[int, int, int], transitions: int
) -> None:
    plan = CollectionConfig(1, False, 400, *visit)
    learner = small_learner(**{**settings, "context_size": 25, "replay_capacity": 10_000, "collection": plan})
    say_always(learner.agent, 1.0, 1.0)
    acted = hypotheses_acted_on(learner.explorer)
    learner.collect()
    # 400 visits of 5 dimensions, each N(1, 1 / transitions).
    assert acted[-1].mean() == pytest.approx(1.0, abs=0.03)
    assert acted[-1].std() == pytest.approx(transitions**-0.5, rel=0.08)
    # Before it, as after a reset, z is a sample of the prior.
    assert acted[0].mean() == pytest.approx(0.0, abs=0.1)
    assert acted[0].std() == pytest.approx(1.0, rel=0.08)


@pytest.mark.parametrize(
    ("settings", "visit", "transitions"),
    [
        ({}, (2, 4, 0), [15, 20, 25]),  # each episode that enters the context is known to the next one
        ({}, (2, 0, 4), [10, 10, 10]),  # those beyond the context are not
        ({}, (2, 2, 3), [15, 20, 20]),
        (RELABELLED, (2, 3, 0), [10, 15, 20]),
    ],
)
def test_what_is_inferred_from_grows_with_each_episode_that_enters_the_context(
    settings: dict[str, Any], visit: tuple[int, int, int], transitions: list[int]
) -> None:
    learner = small_learner(**{**settings, "collection": CollectionConfig(1, False, 2, *visit)})
    known: list[int] = []
    infer = learner.explorer.infer

    def spy(episodes: Any, *arguments: Any, **options: Any) -> Any:
        known.append(sum(int(lived.valid[0].sum()) for lived in episodes))
        return infer(episodes, *arguments, **options)

    learner.explorer.infer = spy  # type: ignore[method-assign]
    learner.collect()
    assert known == transitions


@BOTH_REPLAYS
def test_each_episode_on_the_prior_tries_a_hypothesis_of_its_own(settings: dict[str, Any]) -> None:
    plan = CollectionConfig(3, False, 4, 3, 0, 0)
    learner = small_learner(**{**settings, "collection": plan})
    acted = hypotheses_acted_on(learner.explorer)
    learner.collect_initial()
    learner.collect()
    # 3 episodes on 6 tasks, then 3 on 4 visits: no z twice.
    assert len(acted) == 6
    assert len(np.unique(np.concatenate(acted), axis=0)) == 3 * 6 + 3 * 4


def test_collecting_draws_actions_from_the_policy() -> None:
    learner = small_learner()
    act_by_chance(learner.agent)
    learner.collect_initial()
    # 30 actions about 0, none of them the mean itself.
    actions = learner.replay.store.columns["action"][:30, 0]
    assert actions.abs().min() > 0.0
    assert 8 <= int((actions < 0.0).sum()) <= 22


@BOTH_REPLAYS
@BOTH_REWARDS
def test_the_encoder_learns_from_the_reward_of_its_family(settings: dict[str, Any], sparse: bool) -> None:
    learner = small_learner(LineFamily(sparse=sparse), **settings)
    walk_ahead(learner.agent)
    learner.collect_initial()
    seen = learner.encode(torch.arange(30).reshape(6, 5), np.arange(6))[..., 2]
    np.testing.assert_allclose(seen.numpy(), SPARSE if sparse else DENSE, atol=1e-6)


@BOTH_REWARDS
def test_inference_while_acting_sees_the_reward_of_its_family(sparse: bool) -> None:
    learner = small_learner(LineFamily(sparse=sparse))
    walk_ahead(learner.agent)
    generator = np.random.default_rng(0)
    lived = learner.explorer.episode(GOALS[:, None], np.zeros((6, 5)), generator, deterministic=False)
    read = contexts_read(learner.agent)
    learner.explorer.infer([lived], "sample", generator)
    seen = torch.cat(read)[..., 2]
    np.testing.assert_allclose(seen.numpy(), SPARSE if sparse else DENSE, atol=1e-6)


@BOTH_REPLAYS
@BOTH_REWARDS
def test_actor_and_critics_learn_from_the_dense_reward_whatever_the_encoder_sees(
    settings: dict[str, Any], sparse: bool
) -> None:
    learner = small_learner(LineFamily(sparse=sparse), **{**settings, "meta_batch": 40})
    walk_ahead(learner.agent)
    learner.collect_initial()
    batch = learner.make_batch()
    assert batch.task_features is not None
    # Features are goals over the standard deviation of six from -1 to 1, which is sqrt(7 / 15).
    goals = batch.task_features * math.sqrt(7.0 / 15.0)
    torch.testing.assert_close(batch.reward, -(batch.next_observation[..., 0] - goals).abs())
    # The encoder sees s, a and r: it went from s to s + 0.2 a.
    distance = (batch.context[..., 0] + 0.2 * batch.context[..., 1] - goals).abs()
    torch.testing.assert_close(batch.context[..., 2], (distance < 0.1).float() if sparse else -distance)
