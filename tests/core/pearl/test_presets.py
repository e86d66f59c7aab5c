# SPDX-License-Identifier: Apache-2.0
"""Presets say what the reference code was published with, and fit their families."""

from __future__ import annotations

import pytest

from meta_rl_core.pearl.presets import make_config

# family: tasks per update, prior/posterior/extra steps per visit, updates per iteration, context, weight of the KL.
PUBLISHED = {
    "cheetah-vel": (16, (400, 0, 600), 2000, 100, 0.1),
    "cheetah-dir": (4, (1000, 0, 1000), 2000, 256, 0.1),
    "ant-dir": (4, (400, 0, 600), 4000, 256, 0.1),
    "ant-goal": (10, (400, 0, 600), 4000, 256, 1.0),
    "humanoid-dir": (16, (400, 0, 600), 4000, 256, 0.1),
    "walker-params": (10, (400, 0, 600), 4000, 100, 0.1),
    "hopper-params": (10, (400, 0, 600), 4000, 100, 0.1),
}


@pytest.mark.parametrize("family", PUBLISHED)
def test_locomotion_is_trained_as_published(family: str) -> None:
    config, horizon = make_config(family, "paper"), 200
    plan = config.collection
    episodes = (plan.prior_episodes, plan.posterior_episodes, plan.extra_posterior_episodes)
    assert (
        config.meta_batch,
        tuple(horizon * count for count in episodes),
        config.updates_per_iteration,
        config.context_size,
        config.kl_weight,
    ) == PUBLISHED[family]
    assert plan.by_steps == (family in ("ant-dir", "humanoid-dir", "walker-params", "hopper-params"))
    assert (horizon * plan.initial_prior_episodes, plan.tasks_per_iteration) == (2000, 5)
    assert (config.evaluation.episodes, config.evaluation.exploration_episodes) == (3, 2)
    assert (config.method, config.batch_size, config.latent_dim, config.iterations) == ("sac_v1", 256, 5, 500)
    assert (config.discount, config.reward_scale, config.learning_rate) == (0.99, 5.0, 3e-4)
    assert (config.actor_hidden, config.encoder_hidden) == ((300, 300, 300), (200, 200, 200))
    assert config.next_observation_in_context == family.endswith("-params")


def test_fast_needs_no_more_environment_steps_than_paper_at_half_a_million() -> None:
    config, horizon, tasks = make_config("cheetah-vel", "fast"), 200, 100
    plan = config.collection
    visit = plan.prior_episodes + plan.posterior_episodes
    episodes = plan.initial_prior_episodes * tasks + config.iterations * plan.tasks_per_iteration * visit
    assert horizon * episodes < 500_000
