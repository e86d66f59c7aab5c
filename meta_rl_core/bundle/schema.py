# SPDX-License-Identifier: Apache-2.0
"""Reads a manifest strictly: every key, type, range, and that all sizes agree with each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from meta_rl_core.bundle.manifest import (
    CHANGE,
    CHANGE_SCHEMA_VERSION,
    GOLDEN_FILE,
    SCHEMA_VERSION,
    WEIGHTS_FILE,
    FileRecord,
    Manifest,
    Provenance,
    RewardContract,
    bundle_hash,
)
from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.fields import Fields
from meta_rl_core.runtime.layers import MOST_LAYERS, Layer, chain_sizes, read_layers
from meta_rl_core.runtime.robot_interface import LONGEST_HORIZON, LONGEST_PERIOD_S, RobotInterface
from meta_rl_core.runtime.terms import Term

LARGEST_TENSORS_BYTES = 64 << 20
LARGEST_DIMENSION = 65_536
LARGEST_COUNT = 2**53
MOST_HYPOTHESES = 1000
LONGEST_COMMAND = 4000
"""Covering compares all pairs, so a hostile number would keep a robot busy."""
MOST_HYPOTHESES_PER_EPISODE = 16
LEAST_ALARM, LARGEST_ALARM = 0.1, 1000.0
"""Of the log odds that it takes to say that a task has changed [nat]."""
CONTEXT_REWARDS = ("dense", "sparse")


def read_manifest(value: Mapping[str, Any]) -> Manifest:
    """Reads a parsed manifest, checking every key, type, range and that all sizes agree.

    Raises:
        InvalidValueError: If anything departs from the schema; the message names the key.
    """
    fields = Fields(value, "manifest")
    watches = _check_schema(fields) == CHANGE_SCHEMA_VERSION
    networks = fields.inner("networks")
    manifest = Manifest(
        name=fields.text("name", longest=200),
        family=fields.text("family", longest=200),
        reward=_read_reward(fields.inner("reward")),
        robot=None if fields.raw("robot") is None else RobotInterface.from_dict(fields.raw("robot")),
        observation_dim=fields.integer("observation_dim", 1, LARGEST_DIMENSION),
        action_dim=fields.integer("action_dim", 1, LARGEST_DIMENSION),
        horizon=fields.integer("horizon", 1, LONGEST_HORIZON),
        period_s=fields.optional_number("period_s", 1e-6, LONGEST_PERIOD_S),
        latent_dim=fields.integer("latent_dim", 1, LARGEST_DIMENSION),
        prior_in_product=fields.flag("prior_in_product"),
        next_observation_in_context=fields.flag("next_observation_in_context"),
        reward_scale_in_context=fields.number("reward_scale_in_context"),
        actor=_read_network(networks.inner("actor")),
        encoder=_read_network(networks.inner("encoder")),
        change=_read_network(networks.inner(CHANGE)) if watches else (),
        change_alarm=fields.number("change_alarm", LEAST_ALARM, LARGEST_ALARM) if watches else 0.0,
        hypotheses=fields.integer("hypotheses", 0, MOST_HYPOTHESES) if "hypotheses" in value else 0,
        hypotheses_per_episode=fields.integer("hypotheses_per_episode", 1, MOST_HYPOTHESES_PER_EPISODE)
        if "hypotheses_per_episode" in value
        else 1,
        provenance=_read_provenance(fields.inner("provenance")),
        files=_read_files(fields.inner("files")),
    )
    networks.finish()
    fields.finish()
    _check_sizes(manifest)
    return manifest


def _check_schema(fields: Fields) -> int:
    version = fields.raw("schema_version")
    if version not in (SCHEMA_VERSION, CHANGE_SCHEMA_VERSION) or isinstance(version, bool):
        raise InvalidValueError(
            f"schema_version {version!r} is not known to this Pitaya, which reads {SCHEMA_VERSION} and "
            f"{CHANGE_SCHEMA_VERSION}; export the policy again or use the Pitaya that wrote it"
        )
    stated, actual = fields.text("bundle_hash", longest=64), bundle_hash(fields.values)
    if stated != actual:
        raise InvalidValueError(
            f"bundle_hash is {stated!r} but the manifest hashes to {actual}: it was changed"
        )
    return int(version)


def _read_reward(fields: Fields) -> RewardContract:
    reward = RewardContract(
        model=fields.text("model", longest=200),
        signal_terms=tuple(Term.from_fields(item) for item in fields.items("signal_terms")),
        signal_names=fields.names("signal_names"),
        task_names=fields.names("task_names"),
        context_reward=cast(Literal["dense", "sparse"], fields.text("context_reward", CONTEXT_REWARDS)),
    )
    fields.finish()
    return reward


def _read_network(fields: Fields) -> tuple[Layer, ...]:
    layers = read_layers(fields.items("layers", most=MOST_LAYERS), f"{fields.where}.layers")
    fields.finish()
    return layers


def _read_provenance(fields: Fields) -> Provenance:
    scores = fields.inner("scores")
    provenance = Provenance(
        commit=fields.text("commit", longest=200),
        command=fields.text("command", longest=LONGEST_COMMAND),
        preset=fields.text("preset", longest=200),
        seed=fields.integer("seed", 0, 2**64 - 1),
        env_steps=fields.integer("env_steps", 0, LARGEST_COUNT),
        updates=fields.integer("updates", 0, LARGEST_COUNT),
        scores={name: scores.number(name) for name in scores.values},
        created=fields.text("created", longest=100),
    )
    fields.finish()
    return provenance


def _read_files(fields: Fields) -> dict[str, FileRecord]:
    records = {}
    for name in (WEIGHTS_FILE, GOLDEN_FILE):
        record = fields.inner(name)
        records[name] = FileRecord(
            record.text("sha256", longest=64), record.integer("bytes", 8, LARGEST_TENSORS_BYTES)
        )
        record.finish()
    fields.finish()
    return records


def _check_sizes(manifest: Manifest) -> None:
    observation, action, latent = manifest.observation_dim, manifest.action_dim, manifest.latent_dim
    _agree(
        "the actor (observation and z to two numbers per action)",
        chain_sizes(manifest.actor, "networks.actor"),
        (observation + latent, 2 * action),
    )
    _agree(
        "the encoder (context row to two numbers per latent)",
        chain_sizes(manifest.encoder, "networks.encoder"),
        (manifest.context_dim, 2 * latent),
    )
    if manifest.change:
        _agree(
            "the change network (transition, mean and log std of the belief to one number)",
            chain_sizes(manifest.change, "networks.change"),
            (manifest.change_dim, 1),
        )
    if manifest.robot is not None:
        robot = manifest.robot
        _agree(
            "robot (observation, action, horizon, period)",
            (robot.observation_dim, robot.action_dim, robot.horizon, robot.period_s),
            (observation, action, manifest.horizon, manifest.period_s),
        )
    if manifest.reward.signal_terms:
        terms = sum(term.dimension(action) for term in manifest.reward.signal_terms)
        _agree("reward.signal_terms", (terms,), (len(manifest.reward.signal_names),))


def _agree(what: str, got: tuple[object, ...], expected: tuple[object, ...]) -> None:
    if got != expected:
        raise InvalidValueError(f"{what} has sizes {got}, but the rest of the manifest needs {expected}")
