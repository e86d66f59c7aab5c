# SPDX-License-Identifier: Apache-2.0
"""Scores of the networks of a training run, by the protocol of bundles: for controls, which have none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.pearl.evaluation import evaluate
from meta_rl_core.pearl.export import load_agent
from meta_rl_core.pearl.planned_evaluation import EVALUATION_STREAM
from meta_rl_core.pearl.rollout import Explorer
from meta_rl_core.runtime.evaluator import EvaluationResult, Protocol
from meta_rl_core.runtime.report import outcome


def score_run(run_directory: Path, tasks: int, protocol: Protocol, *, unseen: bool = False) -> dict[str, Any]:
    """Lets the best policy of a run meet held-out tasks; what the controls do without adapting counts as it is.

    Args:
        run_directory: What `pitaya train --out` wrote.
        tasks: How many held-out tasks.
        unseen: Whether to leave out the published ones, on which the best policy was chosen.
        protocol: Episodes and seed; later episodes act on samples of the posterior.

    Raises:
        CheckpointError: If the run is incomplete or damaged.
        InvalidValueError: If the protocol asks for what only a bundle can do.
    """
    if protocol.sampling != "sample" or protocol.exploration or protocol.hypotheses_per_episode:
        raise InvalidValueError(
            "a run is scored with posterior samples and its own exploration; export it to choose otherwise"
        )
    config, agent, family, counters = load_agent(run_directory, "best")
    posed = (family.unseen_tasks if unseen else family.heldout_tasks)(tasks, protocol.seed)
    lived = evaluate(
        Explorer(family, agent),
        posed,
        episodes=protocol.episodes,
        exploration_episodes=protocol.exploration_episodes,
        generator=np.random.Generator(np.random.PCG64([protocol.seed, EVALUATION_STREAM])),
    )
    success = lived.final_success.astype(np.bool_)
    result = EvaluationResult(
        lived.returns, lived.sparse_returns, lived.final_error, success, lived.steps, posed
    )
    return {
        "family": config.family,
        "run": run_directory.name,
        "control": config.control,
        "exploration_episodes": protocol.exploration_episodes if config.infers else protocol.episodes,
        "exploration": "prior" if config.infers else config.control,
        "sampling": protocol.sampling if config.infers else "prior",
        "seed": protocol.seed,
        "training_env_steps": counters["env_steps"],
        **outcome(result),
    }
