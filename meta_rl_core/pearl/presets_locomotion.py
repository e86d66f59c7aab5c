# SPDX-License-Identifier: Apache-2.0
"""Settings of the locomotion families: `PAPER` as published with the reference code, `FAST` for one or two cores."""

from __future__ import annotations

from typing import Any

from meta_rl_core.pearl import presets_common
from meta_rl_core.pearl.plans import CollectionConfig, EvaluationConfig

_PAPER: dict[str, Any] = {
    "iterations": 500,
    "updates_per_iteration": 4000,
    "context_size": 256,
    "collection": CollectionConfig(10, False, 5, 2, 0, 3),
    "evaluation": EvaluationConfig(training_tasks=30, replay_posterior=True),
}
"""What most of them share: 2,000 steps per task at first, then 400 on the prior and 600 beyond the context."""
# Bodies that can fall: the published code counts steps, so that a fall does not shorten what a task is visited for.
_FALLING: dict[str, Any] = {
    "collection": CollectionConfig(10, False, 5, 2, 0, 3, by_steps=True),
    "evaluation": EvaluationConfig(by_steps=True, training_tasks=30, replay_posterior=True),
}
_TWO_TASKS: dict[str, Any] = {
    **_PAPER,
    "meta_batch": 4,
    "evaluation": EvaluationConfig(tasks=2, runs=4, training_tasks=2, replay_posterior=True),
}
_PARAMS: dict[str, Any] = {
    **_PAPER,
    **_FALLING,
    "meta_batch": 10,
    "context_size": 100,
    "next_observation_in_context": True,
    "evaluation": EvaluationConfig(tasks=10, runs=2, by_steps=True, training_tasks=10, replay_posterior=True),
}
PAPER: dict[str, dict[str, Any]] = {
    "cheetah-vel": {**_PAPER, "updates_per_iteration": 2000, "context_size": 100},
    "cheetah-dir": {
        **_TWO_TASKS,
        "updates_per_iteration": 2000,
        "collection": CollectionConfig(10, False, 5, 5, 0, 5),
    },
    "ant-dir": {
        **_TWO_TASKS,
        **_FALLING,
        "evaluation": EvaluationConfig(
            tasks=2, runs=4, by_steps=True, training_tasks=2, replay_posterior=True
        ),
    },
    "ant-goal": {**_PAPER, "meta_batch": 10, "kl_weight": 1.0},
    "humanoid-dir": {**_PAPER, **_FALLING},
    "walker-params": _PARAMS,
    "hopper-params": _PARAMS,
}

_FAST: dict[str, Any] = {
    **presets_common.FAST,
    "privileged_share": 0.5,
    "inference_weight": 0.3,
    "learning_rate": 1e-3,
    "policy_delay": 2,
    "target_rate": 0.01,
    "reward_scale": 1.0,
    "discount": 0.98,
    "kl_weight": 0.01,
    "initial_temperature": 0.2,
    "meta_batch": 10,
    "batch_size": 64,
    "context_size": 64,
    "actor_hidden": (256, 256),
    "critic_hidden": (256, 256),
    "encoder_hidden": (128, 128),
    "updates_per_iteration": 250,
    "iterations": 200,
    "collection": CollectionConfig(1, False, 5, 1, 1, 0),
    "evaluation": EvaluationConfig(every_iterations=10, tasks=30, episodes=3, exploration_episodes=2),
}
_FAST_RUNNING: dict[str, Any] = {
    **_FAST,
    # Joint speeds are ten times as large as angles: on one scale twice as much is learnt from each step.
    "normalise_observations": True,
    "updates_per_iteration": 500,
    # Speed is worth more the longer it lasts; rewards of several units a step are brought back to about one.
    "discount": 0.99,
    "reward_scale": 0.3,
    "iterations": 400,
}
_FAST_PARAMS: dict[str, Any] = {
    **_FAST_RUNNING,
    # Tasks change the dynamics, so nothing can be relabelled; how the body moves next tells them, the reward does not.
    "relabel": False,
    "privileged_share": 0.0,
    "inference_weight": 0.0,
    "reward_prediction_weight": 0.0,
    "transition_prediction_weight": 1.0,
    # While it falls hardly anything is learnt any more: half of a run of 1 M steps is too much to give away.
    "learning_rate_decay_from": 0.8,
    "iterations": 220,
    "collection": CollectionConfig(2, False, 5, 2, 0, 3),
    "evaluation": EvaluationConfig(every_iterations=10, tasks=20, episodes=3, exploration_episodes=2),
}
_FEW_TASKS: dict[str, Any] = {
    "collection": CollectionConfig(10, False, 5, 1, 1, 0),
    "evaluation": EvaluationConfig(every_iterations=10, tasks=8, episodes=3, exploration_episodes=2),
}
FAST: dict[str, dict[str, Any]] = {
    "cheetah-vel": _FAST,
    # Twice the updates, on batches less than half as large: the same time, and twice as much from each step.
    "cheetah-dir": {
        **_FAST_RUNNING,
        **_FEW_TASKS,
        "reward_scale": 0.2,
        "meta_batch": 4,
        "updates_per_iteration": 1000,
        "iterations": 300,
    },
    "ant-dir": {**_FAST_RUNNING, **_FEW_TASKS},
    # A quarter of what resting there for ever would earn: an ant that walks on to its goal loses far less than all of
    # that, and critics learn the difference.
    "ant-goal": {
        **_FAST_RUNNING,
        "potential_weight": 25.0,
        "known_effort": True,
        "noise_exponent": 1.0,
        "privileged_share": 1.0,
        # As for `point-robot`: a place in the plane takes more than a tight bottleneck lets through.
        "kl_weight": 0.001,
        "latent_dim": 8,
        "encoder_hidden": (256, 256),
        "relabelled_tasks": 2000,
        "distillation_updates": 15_000,
        "hypotheses_per_episode": 4,
    },
    "humanoid-dir": {**_FAST_RUNNING, "reward_scale": 0.2},
    "walker-params": _FAST_PARAMS,
    "hopper-params": _FAST_PARAMS,
}
