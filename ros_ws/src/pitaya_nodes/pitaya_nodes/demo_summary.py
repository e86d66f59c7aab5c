# SPDX-License-Identifier: Apache-2.0
"""Writes what came of a demonstration as JSON, whether it ended well or not."""

from __future__ import annotations

import json
import math
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from meta_rl_core.bundle import Bundle
from pitaya_nodes.demo_run import DemoOutcome, DemoSettings
from pitaya_nodes.recording import Trace

SUMMARY_FILE = "summary.json"
_PACKAGES = ("pitaya", "numpy", "mujoco", "ros-rclpy", "rosbags")


def summarize(
    settings: DemoSettings, bundle: Bundle, outcome: DemoOutcome, trace: Trace | None, exit_reason: str
) -> dict[str, Any]:
    """Everything worth keeping of a run, ready for JSON.

    Args:
        settings: What was asked for.
        bundle: The policy.
        outcome: What happened.
        trace: The recording, or None if there is no complete one.
        exit_reason: One sentence.
    """
    result, last = outcome.result, outcome.feedback[-1] if outcome.feedback else None
    return {
        "adapted": bool(result is not None and result.adapted),
        "exit_reason": exit_reason,
        "task": None
        if trace is None
        else {"family": trace.family, "seed": trace.task_seed, "values": trace.task, "goal": trace.goal},
        "returns": [_number(item.episode_return) for item in outcome.feedback],
        "final_errors": [_number(item.final_error) for item in outcome.feedback],
        "successes": [bool(item.success) for item in outcome.feedback],
        "episodes": [_episode(item) for item in outcome.feedback],
        "belief": None if last is None else _belief(last.belief),
        "accepted": 0 if last is None else int(last.accepted),
        "rejected": 0 if last is None else int(last.rejected),
        "mode": "real_time" if settings.real_time else "lock_step",
        "seeds": {"task": settings.task_seed, "goal": settings.seed},
        "exploration_episodes": settings.exploration_episodes,
        "bundle": {
            "path": str(settings.bundle),
            "hash": bundle.hash,
            "name": bundle.manifest.name,
            "family": bundle.manifest.family,
        },
        "seconds": {"bring_up": round(outcome.up_s, 3), "adapt": round(outcome.adapt_s, 3)},
        "versions": _versions(),
    }


def write_summary(folder: Path, summary: dict[str, Any]) -> Path:
    """Writes summary.json; gives its path."""
    path = folder / SUMMARY_FILE
    path.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return path


def _episode(feedback: Any) -> dict[str, Any]:
    return {
        "episode": int(feedback.episode),
        "return": _number(feedback.episode_return),
        "final_error": _number(feedback.final_error),
        "success": bool(feedback.success),
        "accepted": int(feedback.accepted),
        "rejected": int(feedback.rejected),
        "belief": _belief(feedback.belief),
    }


def _belief(belief: Any) -> dict[str, Any]:
    return {
        "mean": list(belief.mean),
        "std": list(belief.std),
        "z": list(belief.z),
        "transitions": int(belief.transitions),
        "kl_to_prior": _number(belief.kl_to_prior),
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
