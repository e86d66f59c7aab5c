# SPDX-License-Identifier: Apache-2.0
"""The policy that evaluated best so far, kept beside the checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from meta_rl_core.pearl.agent import Agent
from meta_rl_core.pearl.evaluation import Evaluation
from meta_rl_core.tasks import FamilySpec


def mean_scores(result: Evaluation) -> dict[str, float]:
    """Means over tasks, of the first and of the last episode."""
    columns = {
        "return": result.returns,
        "sparse": result.sparse_returns,
        "success": result.final_success,
        "error": result.final_error,
    }
    means = {}
    for name, values in columns.items():
        means[f"{name}_first"] = float(values[:, 0].mean())
        means[f"{name}_adapted"] = float(values[:, -1].mean())
    return means


def rank(scores: dict[str, float], spec: FamilySpec) -> list[float]:
    """What makes one policy better than another: share of tasks solved, then return; or the other way round."""
    main = scores["sparse_adapted" if spec.context_reward == "sparse" else "return_adapted"]
    solved = scores["success_adapted"]
    return [main, solved] if spec.ranked_by_return else [solved, main]


def save_best(agent: Agent, directory: Path, facts: dict[str, Any]) -> None:
    """Writes weights and `facts`; an interrupt while a file is written leaves the one before."""
    directory.mkdir(exist_ok=True)
    weights, scores = directory / "agent.safetensors.writing", directory / "scores.json.writing"
    save_file({name: value.clone() for name, value in agent.state_dict().items()}, weights)
    scores.write_text(json.dumps(facts, indent=1))
    for file in (weights, scores):
        file.replace(file.with_suffix(""))
