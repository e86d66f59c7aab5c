# SPDX-License-Identifier: Apache-2.0
"""Small bundles with random weights, built with NumPy alone, for tests that need a policy but no skill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.belief import TaskBelief
from meta_rl_core.bundle import Bundle, family_fields, write_bundle
from meta_rl_core.bundle.golden import golden_change_rows
from meta_rl_core.families import dclaw_dynamics, dclaw_turn
from meta_rl_core.runtime.context import context_row
from meta_rl_core.runtime.inference import Network, deterministic_action, gaussian_factor
from meta_rl_core.runtime.layers import Layer, parameter_shapes
from meta_rl_core.tasks import FamilySpec, RewardModel

Array = NDArray[np.float64]


def make_family_parts(family: str) -> tuple[FamilySpec, RewardModel]:
    """Spec and reward model of a family, without its simulator."""
    if family == dclaw_dynamics.NAME:
        return dclaw_dynamics.make_spec(), dclaw_dynamics.DClawDynamicsReward()
    if family.startswith("dclaw-turn"):
        return dclaw_turn.make_spec(family, sparse=family.endswith("sparse")), dclaw_turn.DClawTurnReward()
    from meta_rl_core.families import point_robot

    return point_robot.make_spec(family, sparse=family.startswith("sparse")), point_robot.PointRobotReward()


def random_parts(
    family: str = "dclaw-turn",
    seed: int = 0,
    *,
    hidden: int = 16,
    latent_dim: int = 5,
    next_observation_in_context: bool = False,
    prior_in_product: bool = False,
    reward_scale_in_context: float = 0.1,
    hypotheses: Array | None = None,
) -> tuple[dict[str, Any], dict[str, Array], dict[str, Array]]:
    """Manifest fields, weights and golden vectors, ready for `write_bundle`."""
    return random_parts_of(
        *make_family_parts(family),
        seed=seed,
        hidden=hidden,
        latent_dim=latent_dim,
        next_observation_in_context=next_observation_in_context,
        prior_in_product=prior_in_product,
        reward_scale_in_context=reward_scale_in_context,
        hypotheses=hypotheses,
    )


def random_parts_of(
    spec: FamilySpec,
    reward_model: RewardModel,
    *,
    seed: int = 0,
    hidden: int = 16,
    latent_dim: int = 5,
    next_observation_in_context: bool = False,
    prior_in_product: bool = False,
    reward_scale_in_context: float = 0.1,
    hypotheses: Array | None = None,
) -> tuple[dict[str, Any], dict[str, Array], dict[str, Array]]:
    """As `random_parts`, for any family."""
    rows = spec.observation_dim * (2 if next_observation_in_context else 1) + spec.action_dim + 1
    actor = _layers(spec.observation_dim + latent_dim, hidden, 2 * spec.action_dim)
    encoder = _layers(rows, hidden, 2 * latent_dim)
    manifest_fields = {
        "name": f"random-{spec.name}",
        **family_fields(spec, reward_model),
        "latent_dim": latent_dim,
        "prior_in_product": prior_in_product,
        "next_observation_in_context": next_observation_in_context,
        "reward_scale_in_context": reward_scale_in_context,
        "networks": {
            "actor": {"layers": [layer.to_dict() for layer in actor]},
            "encoder": {"layers": [layer.to_dict() for layer in encoder]},
        },
        "provenance": {
            "commit": "unknown",
            "command": "tests",
            "preset": "random",
            "seed": seed,
            "env_steps": 0,
            "updates": 0,
            "scores": {},
            "created": "1970-01-01T00:00:00+00:00",
        },
    }
    generator = np.random.default_rng(seed)
    weights = {**_weights(actor, "actor", generator), **_weights(encoder, "encoder", generator)}
    golden = make_golden(
        manifest_fields, Network(actor, weights, "actor"), Network(encoder, weights, "encoder"), generator
    )
    if hypotheses is not None:
        manifest_fields["hypotheses"] = len(hypotheses)
        weights["hypotheses"] = hypotheses
    return manifest_fields, weights, golden


def make_random_bundle(
    directory: str | Path, family: str = "dclaw-turn", seed: int = 0, **options: Any
) -> Bundle:
    """Writes a small random bundle into `directory` and loads it; `options` as in `random_parts`."""
    return write_bundle(directory, *random_parts(family, seed, **options))


def add_change_network(
    fields: dict[str, Any], weights: dict[str, Array], golden: dict[str, Array], alarm: float
) -> tuple[dict[str, Any], dict[str, Array], dict[str, Array]]:
    """The same parts with log odds of a change of 2 |reward - mean of the belief's first dimension| - 1."""
    reward = fields["observation_dim"] + fields["action_dim"]
    rows = reward + 1 + fields["observation_dim"] + 2 * fields["latent_dim"]
    layers = (Layer("linear", rows, 2), Layer("relu"), Layer("linear", 2, 1))
    difference = np.zeros(rows)
    difference[reward], difference[reward + 1 + fields["observation_dim"]] = 1.0, -1.0
    added = {
        "change.0.weight": np.stack([difference, -difference]),
        "change.0.bias": np.zeros(2),
        "change.2.weight": np.full((1, 2), 2.0),
        "change.2.bias": np.array([-1.0]),
    }
    rows_read = golden_change_rows(golden, fields["reward_scale_in_context"])
    answers = Network(layers, added, "change")(rows_read)[..., 0]
    networks = {**fields["networks"], "change": {"layers": [layer.to_dict() for layer in layers]}}
    return (
        {**fields, "networks": networks, "change_alarm": alarm},
        {**weights, **added},
        {**golden, "change_log_odds": answers},
    )


def _layers(inputs: int, hidden: int, outputs: int) -> tuple[Layer, ...]:
    return (
        Layer("linear", inputs, hidden),
        Layer("layer_norm", hidden, hidden),
        Layer("relu"),
        Layer("residual", hidden, hidden, layers=(Layer("linear", hidden, hidden), Layer("relu"))),
        Layer("linear", hidden, outputs),
    )


def _weights(layers: tuple[Layer, ...], prefix: str, generator: np.random.Generator) -> dict[str, Array]:
    weights = {}
    for name, shape in parameter_shapes(layers, prefix).items():
        values = generator.normal(size=shape) / np.sqrt(shape[-1])
        # Stored as float32: round now, so that the golden vectors belong to the stored weights.
        weights[name] = values.astype(np.float32).astype(np.float64)
    return weights


def make_golden(
    fields: dict[str, Any], actor: Network, encoder: Network, generator: np.random.Generator
) -> dict[str, Array]:
    """Golden vectors of these networks, computed in NumPy."""
    observation, action, latent = fields["observation_dim"], fields["action_dim"], fields["latent_dim"]

    def draw(*shape: int) -> Array:
        return generator.normal(size=shape).astype(np.float32).astype(np.float64)

    golden = {
        "context_observation": draw(8, 4, observation),
        "context_action": np.tanh(draw(8, 4, action)).astype(np.float32).astype(np.float64),
        "context_reward": draw(8, 4),
        "context_next_observation": draw(8, 4, observation),
        "observation": draw(8, observation),
        "z": draw(8, latent),
    }
    rows = context_row(
        golden["context_observation"],
        golden["context_action"],
        golden["context_reward"],
        golden["context_next_observation"] if fields["next_observation_in_context"] else None,
        fields["reward_scale_in_context"],
    )
    prior = TaskBelief.prior(latent, fields["prior_in_product"])
    beliefs = [
        prior.observe(m, v, transitions=4) for m, v in zip(*gaussian_factor(encoder(rows)), strict=True)
    ]
    golden["belief_mean"] = np.stack([belief.mean for belief in beliefs])
    golden["belief_variance"] = np.stack([belief.variance for belief in beliefs])
    golden["action"] = deterministic_action(
        actor(np.concatenate([golden["observation"], golden["z"]], axis=-1))
    )
    return golden
