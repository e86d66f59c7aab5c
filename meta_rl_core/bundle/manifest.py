# SPDX-License-Identifier: Apache-2.0
"""The manifest of a policy bundle: everything a robot must know but the weights themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from meta_rl_core.runtime.layers import Layer, parameter_shapes
from meta_rl_core.runtime.robot_interface import RobotInterface
from meta_rl_core.runtime.strict_json import canonical_json
from meta_rl_core.runtime.terms import Term
from meta_rl_core.tasks import FamilySpec, RewardModel

SCHEMA_VERSION, CHANGE_SCHEMA_VERSION = 1, 2
"""Of a bundle as it always was, and of one that can tell that its task has changed."""
MANIFEST_FILE = "manifest.json"
WEIGHTS_FILE = "weights.safetensors"
GOLDEN_FILE = "golden.safetensors"
CHANGE = "change"
"""Name of the network that tells that the task has changed."""
HYPOTHESES = "hypotheses"
"""Name of the tensor with what z was for each training task, shape (hypotheses, latent)."""


@dataclass(frozen=True)
class RewardContract:
    """Which reward the policy was trained to adapt to.

    Attributes:
        model: Registered name of the reward model.
        signal_terms: How a robot assembles the signals; empty where the family has no joints.
        signal_names: Names of the signals.
        task_names: Names of the task parameters.
        context_reward: Which of its two rewards enters the context.
    """

    model: str
    signal_terms: tuple[Term, ...]
    signal_names: tuple[str, ...]
    task_names: tuple[str, ...]
    context_reward: Literal["dense", "sparse"]


@dataclass(frozen=True)
class Provenance:
    """Where the policy comes from: code, command, seed, effort and scores."""

    commit: str
    command: str
    preset: str
    seed: int
    env_steps: int
    updates: int
    scores: Mapping[str, float]
    created: str


@dataclass(frozen=True)
class FileRecord:
    """Size and SHA-256 of one file beside the manifest."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """All a bundle says about itself; see the class attributes' names for the JSON keys.

    Attributes:
        name: Free name, such as `dclaw-turn`.
        family: Registered name of the task family.
        reward: Reward contract.
        robot: What a robot must offer; None for a family that runs on no robot.
        observation_dim: Length O of the observation.
        action_dim: Length A of the action.
        horizon: Policy steps per episode.
        period_s: Time between policy steps [s], or None.
        latent_dim: Length of z.
        prior_in_product: Whether N(0, I) is a factor of the posterior.
        next_observation_in_context: Whether the encoder sees the next observation.
        reward_scale_in_context: Factor on the reward before it enters the encoder.
        actor: Layers from observation and z to action mean and log std.
        encoder: Layers from a context row to factor mean and raw variance.
        change: Layers from transition and belief to the log odds that the task is another one; none where the bundle
            cannot tell.
        change_alarm: How many log odds, gathered, it takes to say so; 0 where the bundle cannot tell.
        hypotheses: How many z of training tasks come along to explore with; 0 where exploring draws from the prior.
        hypotheses_per_episode: How many of them an exploring episode tries, one after the other.
        provenance: Where the policy comes from.
        files: Records of the weights and golden files.
    """

    name: str
    family: str
    reward: RewardContract
    robot: RobotInterface | None
    observation_dim: int
    action_dim: int
    horizon: int
    period_s: float | None
    latent_dim: int
    prior_in_product: bool
    next_observation_in_context: bool
    reward_scale_in_context: float
    actor: tuple[Layer, ...]
    encoder: tuple[Layer, ...]
    change: tuple[Layer, ...]
    change_alarm: float
    hypotheses: int
    hypotheses_per_episode: int
    provenance: Provenance
    files: Mapping[str, FileRecord]

    @property
    def context_dim(self) -> int:
        """Length of one context row: observation, action, reward and perhaps the next observation."""
        observations = 2 if self.next_observation_in_context else 1
        return observations * self.observation_dim + self.action_dim + 1

    @property
    def change_dim(self) -> int:
        """Length of what the change network reads: a transition, then mean and log std of the belief."""
        return 2 * self.observation_dim + self.action_dim + 1 + 2 * self.latent_dim

    @property
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every weight."""
        networks = {"actor": self.actor, "encoder": self.encoder, CHANGE: self.change}
        shapes: dict[str, tuple[int, ...]] = {}
        for name, layers in networks.items():
            shapes |= parameter_shapes(layers, name)
        if self.hypotheses:
            shapes[HYPOTHESES] = (self.hypotheses, self.latent_dim)
        return shapes


def family_fields(spec: FamilySpec, reward_model: RewardModel) -> dict[str, Any]:
    """The part of the manifest that follows from the task family, as JSON."""
    return {
        "family": spec.name,
        "reward": {
            "model": reward_model.name,
            "signal_terms": [term.to_dict() for term in reward_model.signal_terms],
            "signal_names": list(spec.signal_names),
            "task_names": list(spec.task_names),
            "context_reward": spec.context_reward,
        },
        "robot": None if spec.robot is None else spec.robot.to_dict(),
        "observation_dim": spec.observation_dim,
        "action_dim": spec.action_dim,
        "horizon": spec.horizon,
        "period_s": spec.period_s,
    }


def bundle_hash(value: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical manifest without its own `bundle_hash`; covers the files by their hashes."""
    rest = {key: item for key, item in value.items() if key != "bundle_hash"}
    return hashlib.sha256(canonical_json(rest)).hexdigest()
