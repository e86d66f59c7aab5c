# SPDX-License-Identifier: Apache-2.0
"""Turns a training run into the parts of a bundle: manifest fields, weights, golden vectors."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from meta_rl_core.bundle.golden import ACTIONS, CONTEXTS, TRANSITIONS
from meta_rl_core.bundle.manifest import HYPOTHESES, family_fields
from meta_rl_core.bundle.schema import MOST_HYPOTHESES
from meta_rl_core.errors import CheckpointError
from meta_rl_core.networks.recurrent_encoder import RecurrentEncoder
from meta_rl_core.pearl.agent import Agent
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.rollout import Explorer
from meta_rl_core.pearl.run_command import noted_commands
from meta_rl_core.pearl.snapshot import AVERAGED
from meta_rl_core.registry import load_family
from meta_rl_core.tasks import TaskFamily

GOLDEN_SEED = 2019


class BundleParts(NamedTuple):
    """What `meta_rl_core.bundle.write_bundle` takes."""

    manifest_fields: dict[str, Any]
    weights: dict[str, NDArray[np.float32]]
    golden: dict[str, NDArray[np.float32]]


def export_parts(
    run_directory: Path,
    checkpoint: Literal["best", "last"] = "best",
    created: str = "",
    hypotheses_per_episode: int | None = None,
) -> BundleParts:
    """Reads a run and prepares its policy for `write_bundle`.

    Args:
        run_directory: What `pitaya train --out` wrote.
        checkpoint: The policy that evaluated best, or the newest.
        created: Date of the export, ISO 8601.
        hypotheses_per_episode: Overrides the setting of that name in the run's configuration.

    Raises:
        CheckpointError: If the run is incomplete or damaged.
    """
    config, agent, family, counters = load_agent(run_directory, checkpoint)
    if not config.has_bottleneck:
        told = config.control != "none"
        option = f"control {config.control}" if told else "deterministic_latent"
        raise CheckpointError(
            f"{run_directory} was trained with {option}: a bundle holds a belief that robots update, and this policy "
            "has none; score the run itself with `pitaya evaluate` and `pitaya plot`"
        )
    encoder = agent.encoder
    if isinstance(encoder, RecurrentEncoder):
        raise CheckpointError(
            f"{run_directory} was trained with recurrent_encoder: a bundle holds a belief that robots update with each "
            "transition on its own, in any order, and this one needs a state; score the run itself with "
            "`pitaya evaluate` and `pitaya plot`"
        )
    with torch.no_grad():
        golden = _golden(agent, family)
        hypotheses = _hypotheses(agent, family)
    fields = {
        "name": family.spec.name,
        **family_fields(family.spec, family.reward_model),
        "latent_dim": config.latent_dim,
        "prior_in_product": config.prior_in_product,
        "next_observation_in_context": config.next_observation_in_context,
        "reward_scale_in_context": config.context_reward_scale,
        "networks": {
            "actor": {"layers": agent.actor.network.describe()},
            "encoder": {"layers": encoder.network.describe()},
        },
        "hypotheses": len(hypotheses),
        "hypotheses_per_episode": hypotheses_per_episode or config.hypotheses_per_episode,
        "provenance": {
            "commit": _commit(),
            "command": _command(run_directory, config),
            "preset": config.preset,
            "seed": config.seed,
            "env_steps": counters["env_steps"],
            "updates": counters["updates"],
            "scores": counters.get("scores", {}),
            "created": created,
        },
    }
    weights = {
        **agent.actor.network.export_weights("actor"),
        **encoder.network.export_weights("encoder"),
    }
    if len(hypotheses):
        weights[HYPOTHESES] = hypotheses
    return BundleParts(fields, weights, golden)


def load_agent(
    run_directory: Path, checkpoint: Literal["best", "last"]
) -> tuple[PearlConfig, Agent, TaskFamily, dict[str, Any]]:
    """The trained networks of a run, with its configuration, family and counters.

    Raises:
        CheckpointError: If the run is incomplete or damaged.
    """
    try:
        config = PearlConfig.from_dict(yaml.safe_load((run_directory / "config.yaml").read_text()))
        if checkpoint == "best":
            counters = json.loads((run_directory / "best" / "scores.json").read_text())
            tensors = load_file(run_directory / "best" / "agent.safetensors")
        else:
            counters = json.loads((run_directory / "checkpoint" / "state.json").read_text())
            saved = load_file(run_directory / "checkpoint" / "networks.safetensors")
            tensors = {
                name.removeprefix(AVERAGED): value
                for name, value in saved.items()
                if name.startswith(AVERAGED)
            }
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            f"{run_directory} holds no usable {checkpoint!r} policy: {error}; train it first with "
            "`pitaya train FAMILY --out DIR`"
        ) from error
    family = load_family(config.family)
    features = torch.as_tensor(family.task_features(family.training_tasks()), dtype=torch.float32)
    agent = Agent(family.spec, config, torch.Generator(), features)
    try:
        agent.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{run_directory}: the weights do not fit its config.yaml: {error}") from error
    return config, agent, family, counters


def _hypotheses(agent: Agent, family: TaskFamily) -> NDArray[np.float32]:
    """What z is for each training task, as far as training had an embedding of tasks; shape (K, latent)."""
    if agent.embedding is None:
        return np.empty((0, agent.config.latent_dim), np.float32)
    mean, _ = agent.embedding(agent.known_features[:MOST_HYPOTHESES])
    return mean.numpy().astype(np.float32)


def _golden(agent: Agent, family: TaskFamily) -> dict[str, NDArray[np.float32]]:
    """Contexts and observations the policy really meets, and what torch answers in float32."""
    generator = np.random.Generator(np.random.PCG64(GOLDEN_SEED))
    tasks = family.heldout_tasks(CONTEXTS, GOLDEN_SEED)
    z = generator.standard_normal((CONTEXTS, agent.config.latent_dim))
    lived = Explorer(family, agent).episode(tasks, z, generator, deterministic=True)
    steps = np.sort(
        generator.permuted(np.tile(np.arange(family.spec.horizon), (CONTEXTS, 1)), axis=1)[:, :TRANSITIONS]
    )
    rows = np.arange(CONTEXTS)[:, None]
    reward = lived.context_reward(family.spec.context_reward)
    picked = {
        "context_observation": lived.observation[rows, steps],
        "context_action": lived.action[rows, steps],
        "context_reward": reward[rows, steps],
        "context_next_observation": lived.next_observation[rows, steps],
        "observation": lived.observation[
            np.arange(ACTIONS), generator.integers(family.spec.horizon, size=ACTIONS)
        ],
        "z": z[:ACTIONS],
    }
    tensors = {name: torch.as_tensor(value, dtype=torch.float32) for name, value in picked.items()}
    context = agent.encode_context(
        *(tensors[f"context_{name}"] for name in ("observation", "action", "reward", "next_observation"))
    )
    mean, variance = agent.posterior(context)
    tensors.update(
        belief_mean=mean,
        belief_variance=variance,
        action=agent.actor.act(tensors["observation"], tensors["z"]),
    )
    return {name: value.numpy().astype(np.float32) for name, value in tensors.items()}


def _command(run_directory: Path, config: PearlConfig) -> str:
    return (
        noted_commands(run_directory)
        or f"pitaya train {config.family} --preset {config.preset} --seed {config.seed}"
    )


def _commit() -> str:
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
