# SPDX-License-Identifier: Apache-2.0
"""Scores of a run in training, as its configuration plans them."""

from __future__ import annotations

import numpy as np

from meta_rl_core.pearl.best_policy import mean_scores
from meta_rl_core.pearl.evaluation import evaluate
from meta_rl_core.pearl.plans import EvaluationConfig
from meta_rl_core.pearl.rollout import Explorer

EVALUATION_STREAM = 0x5EED


def planned_scores(explorer: Explorer, plan: EvaluationConfig) -> dict[str, float]:
    """Mean scores on held-out tasks and, where the plan asks for them, on training tasks by the same protocol.

    The same plan draws the same tasks, start states and hypotheses, however far the run is.
    """
    family = explorer.family
    generator = np.random.Generator(np.random.PCG64([plan.seed, EVALUATION_STREAM]))
    posed = [np.repeat(family.heldout_tasks(plan.tasks, plan.seed), plan.runs, axis=0)]
    if plan.training_tasks:
        known = family.training_tasks()
        count = min(plan.training_tasks, len(known))
        chosen = np.random.Generator(np.random.PCG64([plan.seed, 0])).permutation(len(known))[:count]
        posed.append(np.repeat(known[chosen], plan.runs, axis=0))
    heldout, *training = (
        mean_scores(
            evaluate(
                explorer,
                tasks,
                episodes=plan.episodes,
                exploration_episodes=plan.exploration_episodes,
                generator=generator,
                least_steps=plan.episodes * family.spec.horizon if plan.by_steps else 0,
            )
        )
        for tasks in posed
    )
    for scores in training:
        heldout |= {f"return_training_{when}": scores[f"return_{when}"] for when in ("first", "adapted")}
    return heldout
