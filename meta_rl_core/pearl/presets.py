# SPDX-License-Identifier: Apache-2.0
"""Settings per family: `paper` keeps the published ones, `fast` is what measurement found quicker."""

from __future__ import annotations

from typing import Any

from meta_rl_core.errors import UnknownNameError
from meta_rl_core.pearl import presets_locomotion
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.config_checks import FIXED_CONTROL, RECURRENT_CONTROL
from meta_rl_core.pearl.plans import CollectionConfig, EvaluationConfig
from meta_rl_core.pearl.presets_common import FAST
from meta_rl_core.tasks import FamilySpec

_POINT_PAPER: dict[str, Any] = {
    "reward_scale": 100.0,
    "context_size": 64,
    "updates_per_iteration": 1000,
    "collection": CollectionConfig(10, False, 5, 10, 0, 10),
    "evaluation": EvaluationConfig(
        tasks=20, exploration_episodes=1, runs=2, training_tasks=20, replay_posterior=True
    ),
}
_SPARSE_POINT_PAPER: dict[str, Any] = {
    "reward_scale": 100.0,
    "discount": 0.9,
    "kl_weight": 1.0,
    "context_size": 1024,
    "updates_per_iteration": 1000,
    "collection": CollectionConfig(10, False, 10, 5, 45, 0),
    "evaluation": EvaluationConfig(
        tasks=20, episodes=20, exploration_episodes=5, runs=2, training_tasks=20, replay_posterior=True
    ),
}
_FAST: dict[str, Any] = {**FAST, "collection": CollectionConfig(10, False, 5, 2, 3, 0)}
_DCLAW_FAST: dict[str, Any] = {
    **_FAST,
    "reward_scale": 0.1,
    "context_reward_scale": 0.1,
    "discount": 0.97,
    "target_rate": 0.01,
    "kl_weight": 0.003,
    "privileged_share": 0.5,
    "inference_weight": 0.3,
    "distillation_updates": 12_000,
    "meta_batch": 16,
    "batch_size": 64,
    "context_size": 64,
    "learning_rate": 1e-3,
    "policy_delay": 2,
    "actor_hidden": (256, 256),
    "critic_hidden": (256, 256),
    "encoder_hidden": (256, 256),
    "updates_per_iteration": 500,
    "iterations": 170,
    "collection": CollectionConfig(2, False, 40, 2, 2, 0),
    "evaluation": EvaluationConfig(every_iterations=10, tasks=50, episodes=3, exploration_episodes=2),
}
# Transitions of one body are none of another, so each task keeps its own replay; the visible target alone is replaced.
# The reward says nothing that is hidden, so the encoder learns from where the body moves next and the Q regression.
_DCLAW_DYNAMICS_FAST: dict[str, Any] = {
    **_DCLAW_FAST,
    "relabel": False,
    "privileged_share": 0.0,
    "inference_weight": 0.0,
    "distillation_updates": 0,
    "iterations": 150,
    "reward_prediction_weight": 0.0,
    "transition_prediction_weight": 10.0,
    "goal_relabel_share": 0.5,
    "kl_weight": 0.001,
    "collection": CollectionConfig(2, False, 40, 1, 3, 0),
}
_SPARSE_POINT_FAST: dict[str, Any] = {
    **_FAST,
    "reward_scale": 1.0,
    "discount": 0.9,
    "kl_weight": 0.01,
    "aggregate_weight": 1.0,
    "batch_size": 64,
    "context_size": 128,
    "actor_hidden": (128, 128),
    "critic_hidden": (128, 128),
    "encoder_hidden": (128, 128),
    "updates_per_iteration": 500,
    "iterations": 100,
    "learning_rate": 1e-3,
    "policy_delay": 2,
    "target_rate": 0.01,
    "collection": CollectionConfig(10, True, 20, 5, 5, 0),
    "evaluation": EvaluationConfig(every_iterations=5, tasks=20, episodes=20, exploration_episodes=5),
}
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {
        "point-robot": _POINT_PAPER,
        "sparse-point-robot": _SPARSE_POINT_PAPER,
        **presets_locomotion.PAPER,
    },
    "fast": {
        "point-robot": {
            **_SPARSE_POINT_FAST,
            # Where a goal is told from distances, z is a sum over transitions of what trilateration needs: more
            # dimensions than the goal has, hardly any bottleneck, and a last phase that teaches actor and encoder to
            # solve it together.
            "latent_dim": 16,
            "encoder_hidden": (256, 256),
            "kl_weight": 0.001,
            "aggregate_weight": 0.0,
            "privileged_share": 0.5,
            "inference_weight": 0.3,
            "relabelled_tasks": 2000,
            "distillation_updates": 40_000,
            "distillation_kl_weight": 1e-5,
            # A path with two bends tells a goal from its distances; a straight one leaves two.
            "hypotheses_per_episode": 3,
            "iterations": 30,
            "evaluation": EvaluationConfig(every_iterations=5, tasks=20, episodes=3, exploration_episodes=1),
        },
        "sparse-point-robot": {
            **_SPARSE_POINT_FAST,
            "rewarded_context_share": 1.0,
            "early_context_weight": 0.1,
            "aggregate_weight": 0.3,
            "privileged_share": 0.5,
            "inference_weight": 0.3,
            "hypotheses_per_episode": 2,
            "iterations": 60,
            "collection": CollectionConfig(10, True, 20, 10, 5, 0),
        },
        "dclaw-turn": _DCLAW_FAST,
        "dclaw-turn-sparse": _DCLAW_FAST,
        **presets_locomotion.FAST,
        "dclaw-turn-dynamics": _DCLAW_DYNAMICS_FAST,
    },
}
GENERIC: dict[str, dict[str, Any]] = {
    "paper": {
        "collection": CollectionConfig(by_steps=True),
        "evaluation": EvaluationConfig(by_steps=True, training_tasks=30, replay_posterior=True),
    },
    "fast": _FAST,
}
"""Settings for a family no preset names."""


def control_settings(control: str, spec: FamilySpec) -> dict[str, Any]:
    """What `--control` changes in the settings of a preset, for one family."""
    if control == "oracle":
        return {"control": control, "latent_dim": len(spec.task_names), **FIXED_CONTROL}
    if control == "blind":
        return {"control": control, "latent_dim": 1, **FIXED_CONTROL}
    if control == "recurrent":
        return {"control": control, **RECURRENT_CONTROL}
    return {}


def make_config(family: str, preset: str, **overrides: Any) -> PearlConfig:
    """Settings of `preset` for `family`, with single fields overridden.

    Raises:
        UnknownNameError: If the preset is unknown.
        InvalidValueError: If a value is out of range.
    """
    if preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    settings = PRESETS[preset].get(family, GENERIC[preset])
    return PearlConfig(**{"family": family, "preset": preset, **settings, **overrides})
