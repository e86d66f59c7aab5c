# SPDX-License-Identifier: Apache-2.0
"""The paper's protocol: prior episodes first, all transitions as context, the last episode scored."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from meta_rl_core.pearl.agent import Agent
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.evaluation import evaluate
from meta_rl_core.pearl.rollout import Explorer
from tests.helpers.toy_family import LineFamily


def make_explorer(**settings: object) -> Explorer:
    family = LineFamily()
    config = PearlConfig("line", actor_hidden=(8,), encoder_hidden=(8,), **settings)  # type: ignore[arg-type]
    return Explorer(family, Agent(family.spec, config, torch.Generator().manual_seed(0)))


def test_returns_and_final_errors_are_those_of_a_policy_that_stands_still() -> None:
    explorer = make_explorer()
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
    explorer = make_explorer()
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


def test_evaluation_is_deterministic_given_its_generator() -> None:
    runs = [
        evaluate(
            make_explorer(),
            np.ones((3, 1)),
            episodes=3,
            exploration_episodes=1,
            generator=np.random.default_rng(4),
        )
        for _ in range(2)
    ]
    assert np.array_equal(runs[0].returns, runs[1].returns)


def test_the_mean_of_a_posterior_does_not_depend_on_the_draw() -> None:
    explorer = make_explorer()
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
