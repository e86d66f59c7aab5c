# SPDX-License-Identifier: Apache-2.0
"""A run as it stands at one moment, kept in memory so that it can be saved after the run has gone on.

An iteration takes seconds to minutes, and an interrupt comes anywhere in it. What is saved then is the end of the
iteration before. Networks and optimisers are copied, which takes milliseconds; the replay, which may have gigabytes,
only keeps aside what is overwritten.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from meta_rl_core.pearl.learner import Learner
from meta_rl_core.pearl.replay import Index, Mark, TaskReplay
from meta_rl_core.pearl.visits import RelabelledReplay

AVERAGED = "averaged."
"""Prefix of the averaged agent's weights: the policy that is evaluated and exported."""


class Snapshot(NamedTuple):
    """Everything a checkpoint holds, but for the rows of the replay."""

    networks: dict[str, Tensor]
    optimisers: dict[str, Tensor]
    books: dict[str, Index]
    """Which rows of the replay belong where."""
    replay: Mark
    state: dict[str, Any]
    """JSON data: settings, counters, generators, progress of the training loop."""
    distillation: dict[str, Tensor]
    """Of a last phase that is half done, else empty."""


def take_snapshot(
    learner: Learner, progress: dict[str, Any], distillation: Mapping[str, Tensor] | None = None
) -> Snapshot:
    """Holds on to `learner` as it stands; the snapshot taken before can no longer be saved.

    Args:
        learner: The run so far, between two updates and with no visit half done.
        progress: JSON data of the training loop (iteration, best score, wall time).
        distillation: State of a last phase that is half done.
    """
    state = {
        "family": learner.family.spec.name,
        "config": learner.config.to_dict(),
        "env_steps": learner.env_steps,
        "updates": learner.updates,
        "observation_moments": learner.moments.to_dict(),
        "generator": learner.generator.bit_generator.state,
        "torch_generator": learner.torch_generator.get_state().tolist(),
        "progress": copy.deepcopy(progress),
    }
    return Snapshot(
        networks=_copied(_networks(learner)),
        optimisers=_copied(_optimisers(learner)),
        books=_books(learner.replay),
        replay=learner.replay.store.mark(),
        state=state,
        distillation=_copied(distillation or {}),
    )


def not_finite(learner: Learner, distillation: Mapping[str, Tensor] | None = None) -> list[str]:
    """What holds NaN or infinity, such as "weights of agent.actor"."""
    tensors = [
        (f"weights of {'.'.join(name.split('.')[:2])}", value) for name, value in _networks(learner).items()
    ]
    for name, value in _optimisers(learner).items():
        tensors.append((f"the optimiser of {name.split('.')[0]}", value))
    tensors += [
        (f"the last phase's {name.split('.')[0]}", value) for name, value in (distillation or {}).items()
    ]
    return sorted({what for what, value in tensors if not bool(torch.isfinite(value).all())})


def _networks(learner: Learner) -> dict[str, Tensor]:
    averaged = {AVERAGED + name: value for name, value in learner.averaged.state_dict().items()}
    return {**learner.update.state_dict(), **averaged}


def _optimisers(learner: Learner) -> dict[str, Tensor]:
    found = {}
    for name, optimiser in learner.update.optimisers().items():
        for index, values in optimiser.state_dict()["state"].items():
            found.update({f"{name}.{index}.{key}": torch.as_tensor(value) for key, value in values.items()})
    return found


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone().contiguous() for name, value in tensors.items()}


def _books(replay: TaskReplay | RelabelledReplay) -> dict[str, Index]:
    if isinstance(replay, TaskReplay):
        named = [(f"rl.{task}", rows) for task, rows in enumerate(replay.rl_rows)]
        return dict(named + [(f"context.{task}", rows) for task, rows in enumerate(replay.context_rows)])
    rows = [rows for visit in replay.episodes for rows in visit]
    return {
        "visit.tasks": np.array(replay.tasks, np.int64),
        "visit.prior_counts": np.array(replay.prior_counts, np.int64),
        "visit.episode_counts": np.array([len(visit) for visit in replay.episodes], np.int64),
        "visit.lengths": np.array([len(part) for part in rows], np.int64),
        "visit.rows": np.concatenate(rows) if rows else np.empty(0, np.int64),
    }
