# SPDX-License-Identifier: Apache-2.0
"""Scores of a run in training, as its configuration plans them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from meta_rl_core.pearl.best_policy import mean_scores
from meta_rl_core.pearl.evaluation import evaluate
from meta_rl_core.pearl.plans import EvaluationConfig
from meta_rl_core.pearl.rollout import Explorer
from meta_rl_core.tasks import Array

EVALUATION_STREAM, REPLAY_STREAM, TOLD_STREAM = 0x5EED, 0x2EB1, 0x701D
Index = NDArray[np.int64]
Contexts = Callable[[Index, np.random.Generator], tuple[torch.Tensor, torch.Tensor | None]]
"""Contexts of training tasks (indices) out of the replay, and where episodes begin in them if that matters."""


def planned_scores(
    explorer: Explorer, plan: EvaluationConfig, contexts: Contexts | None = None
) -> dict[str, float]:
    """Mean scores on held-out tasks and, where the plan asks for them, on training tasks.

    The same plan draws the same tasks, start states and hypotheses, however far the run is. Where an embedding knows
    what z is for a task, `return_told` is what held-out tasks earn on that: how well the actor does, whatever the
    encoder infers.
    """
    family = explorer.family
    generator = np.random.Generator(np.random.PCG64([plan.seed, EVALUATION_STREAM]))
    heldout = family.heldout_tasks(plan.tasks, plan.seed)
    scores = _scores(explorer, plan, heldout, generator)
    if explorer.agent.embedding is not None:
        scores["return_told"] = _told_return(explorer, plan, heldout)
    if plan.training_tasks:
        known = family.training_tasks()
        count = min(plan.training_tasks, len(known))
        chosen = np.random.Generator(np.random.PCG64([plan.seed, 0])).permutation(len(known))[:count]
        training = _scores(explorer, plan, known[chosen], generator)
        scores |= {f"return_training_{when}": training[f"return_{when}"] for when in ("first", "adapted")}
        if plan.replay_posterior and contexts is not None and explorer.agent.config.infers:
            scores["return_training_replay"] = _replay_return(explorer, plan, chosen, contexts)
    return scores


def _scores(
    explorer: Explorer, plan: EvaluationConfig, tasks: Array, generator: np.random.Generator
) -> dict[str, float]:
    """Mean scores by the paper's protocol."""
    return mean_scores(
        evaluate(
            explorer,
            np.repeat(tasks, plan.runs, axis=0),
            episodes=plan.episodes,
            exploration_episodes=plan.exploration_episodes,
            generator=generator,
            least_steps=plan.episodes * explorer.family.spec.horizon if plan.by_steps else 0,
        )
    )


def _told_return(explorer: Explorer, plan: EvaluationConfig, tasks: Array) -> float:
    """Mean return of `plan.runs` episodes per task on what the embedding makes of the task itself."""
    generator = np.random.Generator(np.random.PCG64([plan.seed, TOLD_STREAM]))
    posed = np.repeat(tasks, plan.runs, axis=0)
    return float(
        explorer.episode(posed, explorer.told_z(posed), generator, deterministic=True).returns().mean()
    )


def _replay_return(explorer: Explorer, plan: EvaluationConfig, tasks: Index, contexts: Contexts) -> float:
    """Mean return of as many episodes per training task, each on a sample of the posterior given a fresh context.

    As in the published code, `evaluate` of its meta-training loop: nothing is explored, the replay is the context.
    """
    generator = np.random.Generator(np.random.PCG64([plan.seed, REPLAY_STREAM]))
    posed = np.repeat(tasks, plan.episodes)
    z = explorer.infer_from(*contexts(posed, generator), generator)
    known = explorer.family.training_tasks()[posed]
    return float(explorer.episode(known, z, generator, deterministic=True).returns().mean())
