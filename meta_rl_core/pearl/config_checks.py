# SPDX-License-Identifier: Apache-2.0
"""What the settings of a run may be, each by itself and together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meta_rl_core.errors import InvalidValueError

if TYPE_CHECKING:
    from meta_rl_core.pearl.config import PearlConfig

RECURRENT_CONTROL: dict[str, Any] = {
    "recurrent_encoder": True,
    "deterministic_latent": True,
    "prior_in_product": False,
    "privileged_share": 0.0,
    "reward_prediction_weight": 0.0,
    "transition_prediction_weight": 0.0,
    "distillation_updates": 0,
}
"""What the control `recurrent` is made of, whatever the preset."""
FIXED_CONTROL: dict[str, Any] = {"privileged_share": 0.0, "inference_weight": 0.0, "distillation_updates": 0}
"""What the controls `oracle` and `blind` have in common: nothing is inferred, so nobody is taught to infer."""
CONTROLS = ("none", "oracle", "recurrent", "blind")
METHODS = ("sac_v1", "sac_v2")
CRITIC_KINDS = ("plain", "simba", "batch_norm")
_AT_LEAST_ONE = (
    "iterations",
    "updates_per_iteration",
    "latent_dim",
    "meta_batch",
    "batch_size",
    "context_size",
    "policy_delay",
    "replay_capacity",
    "context_window_visits",
    "hypotheses_per_episode",
    "recurrent_window",
)
_AT_MOST = {
    "discount": 1.0,
    "target_rate": 1.0,
    "learning_rate": 1.0,
    "learning_rate_decay": 1.0,
    "averaging_rate": 1.0,
    "distillation_learning_rate": 1.0,
    "initial_temperature": 1e3,
}
"""Settings above 0, and their largest values."""
_NOT_NEGATIVE = (
    "kl_weight",
    "aggregate_weight",
    "early_context_weight",
    "inference_weight",
    "relabelled_tasks",
    "distillation_updates",
    "distillation_kl_weight",
    "reward_prediction_weight",
    "transition_prediction_weight",
    "goal_relabel_share",
    "potential_weight",
)
_WIDTHS = ("actor_hidden", "critic_hidden", "encoder_hidden")
_CHOICES = {"control": CONTROLS, "method": METHODS, "critic_kind": CRITIC_KINDS}


def check_ranges(config: PearlConfig) -> None:
    """Whether each setting by itself is one that can be.

    Raises:
        InvalidValueError: Naming the field, what was got and what is allowed.
    """
    for name in _AT_LEAST_ONE:
        if getattr(config, name) < 1:
            raise InvalidValueError(f"{name} must be at least 1, got {getattr(config, name)}")
    if config.seed < 0:
        raise InvalidValueError(f"seed must not be negative, got {config.seed}")
    for name in _WIDTHS:
        if any(width < 1 for width in getattr(config, name)):
            raise InvalidValueError(f"widths in {name} must be at least 1, got {list(getattr(config, name))}")
    for name in ("reward_scale", "context_reward_scale"):
        if not getattr(config, name) > 0.0:
            raise InvalidValueError(f"{name} must be positive, got {getattr(config, name)}")
    if not 0.0 <= config.learning_rate_decay_from < 1.0:
        raise InvalidValueError(
            f"learning_rate_decay_from must lie in [0, 1), got {config.learning_rate_decay_from}"
        )
    if config.environment_steps is not None and config.environment_steps < 1:
        raise InvalidValueError(f"environment_steps must be at least 1, got {config.environment_steps}")
    for name, high in _AT_MOST.items():
        if not 0.0 < getattr(config, name) <= high:
            raise InvalidValueError(f"{name} must lie in (0.0, {high}], got {getattr(config, name)}")
    if not 0.0 <= config.noise_exponent <= 2.0:
        raise InvalidValueError(f"noise_exponent must lie in [0, 2], got {config.noise_exponent}")
    if not 0.0 <= config.privileged_share <= 1.0:
        raise InvalidValueError(f"privileged_share must lie in [0, 1], got {config.privileged_share}")
    for name in _NOT_NEGATIVE:
        if not getattr(config, name) >= 0.0:
            raise InvalidValueError(f"{name} must not be negative, got {getattr(config, name)}")
    for name, allowed in _CHOICES.items():
        if getattr(config, name) not in allowed:
            raise InvalidValueError(
                f"{name} must be one of {', '.join(allowed)}, got {getattr(config, name)!r}"
            )


def check_combinations(config: PearlConfig) -> None:
    """Whether settings that are possible each by itself go together.

    Raises:
        InvalidValueError: Saying what contradicts what, and what to set instead.
    """
    _check_inference(config)
    _check_relabelling(config)
    _check_networks(config)


def _check_inference(config: PearlConfig) -> None:
    if config.distillation_updates and not config.privileged_share:
        raise InvalidValueError(
            "distillation needs a teacher that is told the task; set privileged_share, or distillation_updates=0"
        )
    if not config.infers and config.privileged_share:
        raise InvalidValueError(f"the control {config.control!r} infers nothing; set privileged_share=0")
    plain = config.method == "sac_v1" or config.control == "recurrent"
    if config.deterministic_latent and (not plain or config.prior_in_product):
        raise InvalidValueError(
            "deterministic_latent is an option of the published update; use --preset paper (method sac_v1, "
            "prior_in_product false)"
        )
    if config.control == "recurrent":
        _check_recurrent_control(config)
    if not config.bellman_gradient_to_encoder and config.reward_prediction_weight == 0.0:
        raise InvalidValueError(
            "without the Bellman gradient the encoder learns nothing; set reward_prediction_weight"
        )


def _check_recurrent_control(config: PearlConfig) -> None:
    """The control learns from the Bellman loss alone; anything else would make it another meta-learner."""
    wanted = {**RECURRENT_CONTROL, "bellman_gradient_to_encoder": True}
    wrong = [f"{name} {getattr(config, name)!r}" for name in wanted if getattr(config, name) != wanted[name]]
    if wrong:
        needed = ", ".join(f"{name}={value}" for name, value in wanted.items())
        raise InvalidValueError(
            f"the control 'recurrent' has no meta loss and needs {needed}; got {', '.join(wrong)}"
        )


def _check_relabelling(config: PearlConfig) -> None:
    if config.relabel and config.collection.extra_posterior_episodes:
        raise InvalidValueError(
            "extra_posterior_episodes belong to the paper's context buffers; with relabel=true "
            "use posterior_episodes"
        )
    if config.evaluation.replay_posterior and config.relabel:
        raise InvalidValueError(
            "evaluation.replay_posterior infers z from a context of the task's own and needs relabel=false"
        )
    if config.relabelled_tasks and not config.relabel:
        raise InvalidValueError("relabelled_tasks needs relabel=true: without it transitions keep their task")
    if config.relabel and config.goal_relabel_share:
        raise InvalidValueError(
            "goal_relabel_share belongs to relabel=false; relabelling changes whole tasks"
        )


def _check_networks(config: PearlConfig) -> None:
    if config.recurrent_encoder and not config.encoder_hidden:
        raise InvalidValueError("a recurrent encoder needs at least one width in encoder_hidden, got none")
    if config.normalise_observations and (config.method != "sac_v2" or config.recurrent_encoder):
        raise InvalidValueError("normalise_observations needs method sac_v2 and no recurrent encoder")
    if config.known_effort and config.method != "sac_v2":
        raise InvalidValueError(f"known_effort needs method sac_v2, got {config.method}")
    if config.critic_kind == "plain":
        return
    if config.method != "sac_v2":
        raise InvalidValueError(
            f"critic_kind {config.critic_kind!r} needs method sac_v2, got {config.method}"
        )
    if not config.critic_hidden:
        raise InvalidValueError(f"critic_kind {config.critic_kind!r} needs widths in critic_hidden, got none")
    if config.critic_kind == "simba" and len(set(config.critic_hidden)) != 1:
        raise InvalidValueError(
            "critic_kind 'simba' has blocks of one width; critic_hidden must be the same for all, got "
            f"{list(config.critic_hidden)}"
        )
