# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that resume: safetensors and JSON, written beside the old one and then swapped in.

A checkpoint holds networks, optimisers, generators, replay and counters, so that a killed run goes on with the
very same numbers. Nothing in it is pickled.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from meta_rl_core.errors import CheckpointError, InvalidValueError
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.learner import Learner
from meta_rl_core.pearl.replay import TaskReplay

VERSION = 2
MAY_CHANGE = ("iterations", "environment_steps")
"""How long a run goes on may change when it is resumed."""
AVERAGED = "averaged."
"""Prefix of the averaged agent's weights: the policy that is evaluated and exported."""


def save_checkpoint(learner: Learner, directory: Path, progress: dict[str, Any]) -> None:
    """Writes everything `load_checkpoint` needs; a crash while writing leaves the previous checkpoint intact.

    Args:
        learner: The run so far.
        directory: Replaced as a whole.
        progress: JSON data of the training loop (iteration, best score, wall time).
    """
    fresh = directory.with_name(directory.name + ".writing")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    averaged = {AVERAGED + name: value for name, value in learner.averaged.state_dict().items()}
    save_file(_contiguous({**learner.update.state_dict(), **averaged}), fresh / "networks.safetensors")
    save_file(_optimiser_tensors(learner), fresh / "optimisers.safetensors")
    save_file(
        _contiguous({**learner.replay.store.state(), **_row_tensors(learner)}), fresh / "replay.safetensors"
    )
    state = {
        "version": VERSION,
        "family": learner.family.spec.name,
        "config": learner.config.to_dict(),
        "env_steps": learner.env_steps,
        "updates": learner.updates,
        "replay_total": learner.replay.store.total,
        "observation_moments": learner.moments.to_dict(),
        "generator": learner.generator.bit_generator.state,
        "torch_generator": learner.torch_generator.get_state().tolist(),
        "progress": progress,
    }
    (fresh / "state.json").write_text(json.dumps(state))
    previous = directory.with_name(directory.name + ".previous")
    shutil.rmtree(previous, ignore_errors=True)
    if directory.exists():
        directory.rename(previous)
    fresh.rename(directory)
    shutil.rmtree(previous, ignore_errors=True)


def load_checkpoint(learner: Learner, directory: Path) -> dict[str, Any]:
    """Puts `learner` back to where `save_checkpoint` was called.

    Returns:
        The `progress` that was saved.

    Raises:
        CheckpointError: If files are missing or damaged, or belong to another family, preset or version.
    """
    previous = directory.with_name(directory.name + ".previous")
    if not directory.exists() and previous.exists():
        directory = previous
    try:
        state = json.loads((directory / "state.json").read_text())
        _check_origin(learner, state, directory)
        return _restore(learner, state, directory)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise CheckpointError(
            f"no usable checkpoint in {directory}: {reason}; start the run without --resume"
        ) from error


def _restore(learner: Learner, state: dict[str, Any], directory: Path) -> dict[str, Any]:
    networks, optimisers, replay = (
        load_file(directory / f"{name}.safetensors") for name in ("networks", "optimisers", "replay")
    )
    averaged = {name: networks.pop(name) for name in list(networks) if name.startswith(AVERAGED)}
    learner.averaged.load_state_dict({name.removeprefix(AVERAGED): value for name, value in averaged.items()})
    learner.update.load_state_dict(networks)
    _restore_optimisers(learner, optimisers)
    _restore_replay(learner, replay, state["replay_total"])
    if learner.config.normalise_observations:
        learner.moments.restore(state["observation_moments"])
    learner.env_steps = state["env_steps"]
    learner.updates = learner.update.updates = state["updates"]
    learner.generator.bit_generator.state = state["generator"]
    learner.torch_generator.set_state(torch.tensor(state["torch_generator"], dtype=torch.uint8))
    progress: dict[str, Any] = state["progress"]
    return progress


def _check_origin(learner: Learner, state: Any, directory: Path) -> None:
    """Refuses what another build, family or command made, before anything large is read."""
    version = state.get("version") if isinstance(state, dict) else None
    # Version 1 kept places in the replay, which are serial numbers as long as the replay has not gone round.
    once_round = version == 1 and state["replay_total"] <= learner.config.replay_capacity
    if version != VERSION and not once_round:
        raise CheckpointError(
            f"{directory} has version {version!r}, this build reads version {VERSION}; resume it with the Pitaya that "
            "wrote it, or start anew with another --out"
        )
    if state["family"] != learner.family.spec.name:
        raise CheckpointError(
            f"{directory} belongs to family {state['family']!r}, not {learner.family.spec.name!r}; resume it as "
            f"`pitaya train {state['family']}`, or choose another --out"
        )
    try:
        # A setting that is younger than the checkpoint had its default in it.
        saved = PearlConfig.from_dict(state["config"]).to_dict()
    except (InvalidValueError, TypeError) as error:
        raise CheckpointError(f"{directory} holds settings this build does not know: {error}") from error
    ours = learner.config.to_dict()
    differing = sorted(key for key in ours if key not in MAY_CHANGE and saved[key] != ours[key])
    if differing:
        pairs = ", ".join(f"{key}: saved {saved.get(key)!r}, asked {ours[key]!r}" for key in differing)
        raise CheckpointError(
            f"{directory} was made with other settings ({pairs}); only {' and '.join(MAY_CHANGE)} may change"
        )


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone().contiguous() for name, value in tensors.items()}


def _optimiser_tensors(learner: Learner) -> dict[str, Tensor]:
    found = {}
    for name, optimiser in learner.update.optimisers().items():
        for index, values in optimiser.state_dict()["state"].items():
            for key, value in values.items():
                found[f"{name}.{index}.{key}"] = torch.as_tensor(value).clone()
    return found


def _restore_optimisers(learner: Learner, tensors: dict[str, Tensor]) -> None:
    for name, optimiser in learner.update.optimisers().items():
        state: dict[int, dict[str, Tensor]] = {}
        for full_name, value in tensors.items():
            owner, index, key = full_name.split(".")
            if owner == name:
                state.setdefault(int(index), {})[key] = value
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _row_tensors(learner: Learner) -> dict[str, Tensor]:
    replay = learner.replay
    if isinstance(replay, TaskReplay):
        named = [(f"rl.{task}", rows) for task, rows in enumerate(replay.rl_rows)]
        named += [(f"context.{task}", rows) for task, rows in enumerate(replay.context_rows)]
        return {name: torch.from_numpy(rows.copy()) for name, rows in named}
    found = {
        "visit.tasks": torch.tensor(replay.tasks, dtype=torch.int64),
        "visit.prior_counts": torch.tensor(replay.prior_counts, dtype=torch.int64),
    }
    lengths = [[len(rows) for rows in visit] for visit in replay.episodes]
    found["visit.episode_counts"] = torch.tensor([len(counts) for counts in lengths], dtype=torch.int64)
    found["visit.lengths"] = torch.tensor(
        [length for counts in lengths for length in counts], dtype=torch.int64
    )
    rows = [rows for visit in replay.episodes for rows in visit]
    found["visit.rows"] = torch.from_numpy(np.concatenate(rows) if rows else np.empty(0, np.int64))
    return found


def _restore_replay(learner: Learner, tensors: dict[str, Tensor], total: int) -> None:
    replay = learner.replay
    replay.store.restore(tensors, total)
    if isinstance(replay, TaskReplay):
        for task in range(len(replay.rl_rows)):
            replay.rl_rows[task] = tensors[f"rl.{task}"].numpy()
            replay.context_rows[task] = tensors[f"context.{task}"].numpy()
        return
    replay.tasks = tensors["visit.tasks"].tolist()
    replay.prior_counts = tensors["visit.prior_counts"].tolist()
    ends = np.cumsum(tensors["visit.lengths"].numpy())
    parts = np.split(tensors["visit.rows"].numpy(), ends[:-1]) if len(ends) else []
    replay.episodes = []
    for count in tensors["visit.episode_counts"].tolist():
        replay.episodes.append(parts[:count])
        parts = parts[count:]
