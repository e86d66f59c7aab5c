# SPDX-License-Identifier: Apache-2.0
"""Scores of an evaluation: means with spread, the worst tasks, and everything needed to repeat it."""

from __future__ import annotations

import math
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.runtime.evaluator import EvaluationResult, Protocol

if TYPE_CHECKING:
    from meta_rl_core.bundle import Bundle

Array = NDArray[np.float64]
WORST_SHARE = 0.05
_PACKAGES = ("pitaya", "numpy", "mujoco", "safetensors")


def conditional_value_at_risk(values: Array, share: float = WORST_SHARE) -> float:
    """Mean of the worst (lowest) share of the values, of at least one value.

    Args:
        values: Shape (n,), n at least 1.
        share: In (0, 1].
    """
    worst = max(1, math.ceil(share * len(values) - 1e-9))
    return float(np.sort(values)[:worst].mean())


def report_scores(bundle: Bundle, result: EvaluationResult, protocol: Protocol) -> dict[str, Any]:
    """The evaluation of a bundle as JSON; the first episode is on the prior, the last is the adapted one."""
    return {
        "family": bundle.manifest.family,
        "bundle": bundle.manifest.name,
        "bundle_hash": bundle.hash,
        "exploration_episodes": protocol.unadapted_episodes,
        "exploration": _exploration(bundle, protocol),
        "hypotheses_per_episode": protocol.hypotheses_per_episode or bundle.manifest.hypotheses_per_episode,
        "sampling": protocol.sampling,
        "seed": protocol.seed,
        "training_env_steps": bundle.manifest.provenance.env_steps,
        **outcome(result),
    }


def outcome(result: EvaluationResult) -> dict[str, Any]:
    """What came out, as JSON: column 0 is the first episode, the last column the adapted one."""
    returns, success = result.returns, result.success.astype(np.float64)
    tasks, episodes = returns.shape
    return {
        "tasks": tasks,
        "episodes": episodes,
        "env_steps": result.env_steps,
        "success_rate_first": float(success[:, 0].mean()),
        "success_rate_adapted": float(success[:, -1].mean()),
        "return_first_mean": float(returns[:, 0].mean()),
        "return_adapted_mean": float(returns[:, -1].mean()),
        "return_adapted_cvar5": conditional_value_at_risk(returns[:, -1]),
        "per_episode": [_episode_scores(result, episode) for episode in range(episodes)],
        "per_task": {
            "task": result.tasks.tolist(),
            "return": returns.tolist(),
            "sparse_return": result.sparse_returns.tolist(),
            "final_error": result.final_error.tolist(),
            "success": result.success.tolist(),
        },
        "versions": package_versions(),
    }


def _exploration(bundle: Bundle, protocol: Protocol) -> str:
    if protocol.sampling == "prior" or bundle.hypotheses is None:
        return "prior"
    return protocol.exploration or "cover"


def _episode_scores(result: EvaluationResult, episode: int) -> dict[str, float]:
    success = result.success[:, episode].astype(np.float64)
    return {
        "success_rate": float(success.mean()),
        **_spread("return", result.returns[:, episode]),
        **_spread("sparse_return", result.sparse_returns[:, episode]),
        **_spread("final_error", result.final_error[:, episode]),
        "return_cvar5": conditional_value_at_risk(result.returns[:, episode]),
        "sparse_return_cvar5": conditional_value_at_risk(result.sparse_returns[:, episode]),
    }


def _spread(name: str, values: Array) -> dict[str, float]:
    low, median, high = np.quantile(values, (0.05, 0.5, 0.95))
    return {
        f"{name}_mean": float(values.mean()),
        f"{name}_std": float(values.std()),
        f"{name}_p05": float(low),
        f"{name}_median": float(median),
        f"{name}_p95": float(high),
    }


def package_versions() -> dict[str, str]:
    """Versions of what decides the outcome; absent packages are left out."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
