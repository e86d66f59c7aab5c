# SPDX-License-Identifier: Apache-2.0
"""Presets say what the reference code was published with, and fit their families."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from meta_rl_core.pearl.presets import make_config
from meta_rl_core.registry import load_family


class Published(NamedTuple):
    """One row of the settings the reference code was published with; what it leaves out most families share."""

    training: int
    """Training tasks."""
    evaluated: int
    """Held-out tasks, and as many of the training tasks."""
    meta_batch: int
    visit: tuple[int, int, int]
    """Steps on the prior, with the posterior, and beyond the context."""
    updates: int
    context: int
    steps: tuple[int, int]
    """Environment steps before the first iteration and in each."""
    horizon: int = 200
    initial: int = 2000
    """Steps per training task before the first iteration."""
    visited: int = 5
    """Tasks visited in each iteration."""
    runs: int = 1
    """Runs on each task in evaluation."""
    explored: int = 2
    """Episodes on the prior in evaluation."""
    evaluated_steps: int = 600
    kl: float = 0.1
    discount: float = 0.99
    scale: float = 5.0
    falls: bool = False
    """Whether episodes may end early, so that steps are counted."""


PUBLISHED = {
    "cheetah-vel": Published(100, 30, 16, (400, 0, 600), 2000, 100, (200_000, 5_000)),
    "cheetah-dir": Published(2, 2, 4, (1000, 0, 1000), 2000, 256, (4_000, 10_000), runs=4),
    "ant-dir": Published(2, 2, 4, (400, 0, 600), 4000, 256, (4_000, 5_000), runs=4, falls=True),
    "ant-goal": Published(150, 30, 10, (400, 0, 600), 4000, 256, (300_000, 5_000), kl=1.0),
    "humanoid-dir": Published(100, 30, 16, (400, 0, 600), 4000, 256, (200_000, 5_000), falls=True),
    "walker-params": Published(40, 10, 10, (400, 0, 600), 4000, 100, (80_000, 5_000), runs=2, falls=True),
    "hopper-params": Published(40, 10, 10, (400, 0, 600), 4000, 100, (80_000, 5_000), runs=2, falls=True),
    "point-robot": Published(
        *(80, 20, 16, (200, 0, 200), 1000, 64, (16_000, 2_000)),
        **{"horizon": 20, "initial": 200, "runs": 2, "explored": 1, "evaluated_steps": 60, "scale": 100.0},
    ),
    "sparse-point-robot": Published(
        *(80, 20, 16, (100, 900, 0), 1000, 1024, (16_000, 10_000)),
        **{"horizon": 20, "initial": 200, "visited": 10, "runs": 2, "explored": 5, "evaluated_steps": 400},
        **{"kl": 1.0, "discount": 0.9, "scale": 100.0},
    ),
}
# What all nine have in common; the second half are deviations from the paper, all of them off.
COMMON: dict[str, Any] = {
    "method": "sac_v1",
    "iterations": 500,
    "latent_dim": 5,
    "batch_size": 256,
    "learning_rate": 3e-4,
    "target_rate": 0.005,
    "actor_hidden": (300, 300, 300),
    "critic_hidden": (300, 300, 300),
    "encoder_hidden": (200, 200, 200),
    "context_reward_scale": 1.0,
    "bellman_gradient_to_encoder": True,
    "control": "none",
    "environment_steps": None,
    "learning_rate_decay": 1.0,
    "averaging_rate": 1.0,
    "prior_in_product": False,
    "deterministic_latent": False,
    "recurrent_encoder": False,
    "layer_norm": False,
    "normalise_observations": False,
    "reduced_precision": False,
    "relabel": False,
    "reward_prediction_weight": 0.0,
    "transition_prediction_weight": 0.0,
    "potential_weight": 0.0,
    "privileged_share": 0.0,
    "distillation_updates": 0,
}


@pytest.mark.parametrize("family", PUBLISHED)
def test_each_family_of_the_paper_is_trained_as_published(family: str) -> None:
    config, row = make_config(family, "paper"), PUBLISHED[family]
    assert (config.meta_batch, config.updates_per_iteration) == (row.meta_batch, row.updates)
    assert (config.context_size, config.kl_weight) == (row.context, row.kl)
    assert (config.discount, config.reward_scale) == (row.discount, row.scale)
    assert config.next_observation_in_context == family.endswith("-params")
    assert {name: getattr(config, name) for name in COMMON} == COMMON


@pytest.mark.parametrize("family", PUBLISHED)
def test_each_family_of_the_paper_lives_as_many_steps_as_published(family: str) -> None:
    plan, row, built = make_config(family, "paper").collection, PUBLISHED[family], load_family(family)
    episodes = (plan.prior_episodes, plan.posterior_episodes, plan.extra_posterior_episodes)
    assert (built.spec.horizon, len(built.training_tasks())) == (row.horizon, row.training)
    assert tuple(row.horizon * count for count in episodes) == row.visit
    assert row.horizon * plan.initial_prior_episodes == row.initial
    assert (plan.tasks_per_iteration, plan.by_steps) == (row.visited, row.falls)
    assert not plan.initial_held_actions
    first = row.horizon * plan.initial_prior_episodes * len(built.training_tasks())
    assert (first, row.horizon * plan.tasks_per_iteration * sum(episodes)) == row.steps


@pytest.mark.parametrize("family", PUBLISHED)
def test_each_family_of_the_paper_is_evaluated_as_published(family: str) -> None:
    plan, row = make_config(family, "paper").evaluation, PUBLISHED[family]
    assert (plan.every_iterations, plan.tasks, plan.exploration_episodes) == (1, row.evaluated, row.explored)
    assert (plan.runs, plan.training_tasks, plan.by_steps) == (row.runs, row.evaluated, row.falls)
    assert plan.replay_posterior
    assert row.horizon * plan.episodes == row.evaluated_steps
    assert load_family(family).spec.context_reward == (
        "sparse" if family == "sparse-point-robot" else "dense"
    )


def test_fast_needs_no_more_environment_steps_than_paper_at_half_a_million() -> None:
    config, horizon, tasks = make_config("cheetah-vel", "fast"), 200, 100
    plan = config.collection
    visit = plan.prior_episodes + plan.posterior_episodes
    episodes = plan.initial_prior_episodes * tasks + config.iterations * plan.tasks_per_iteration * visit
    assert horizon * episodes < 500_000
