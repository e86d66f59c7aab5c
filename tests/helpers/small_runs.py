# SPDX-License-Identifier: Apache-2.0
"""Runs on the line small enough to make in a moment: tiny networks, few tasks, one update or two."""

from __future__ import annotations

from typing import Any

import torch

from meta_rl_core.pearl.agent import Agent
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.learner import Learner
from meta_rl_core.pearl.plans import CollectionConfig, EvaluationConfig
from meta_rl_core.pearl.rollout import Explorer
from meta_rl_core.tasks import TaskFamily
from tests.helpers.toy_family import LineFamily

SMALL: dict[str, Any] = {
    "iterations": 1,
    "updates_per_iteration": 3,
    "actor_hidden": (8,),
    "critic_hidden": (8,),
    "encoder_hidden": (8,),
    "context_size": 6,
    "batch_size": 5,
    "meta_batch": 3,
    "replay_capacity": 5000,
    "collection": CollectionConfig(1, False, 2, 1, 0, 1),
    "evaluation": EvaluationConfig(1, 3, 3, 1),
}
RELABELLED: dict[str, Any] = {
    "relabel": True,
    "method": "sac_v2",
    "collection": CollectionConfig(1, False, 2, 1, 1, 0),
}


def small_config(family: str = "line", **settings: Any) -> PearlConfig:
    """Settings of the published update, made small."""
    return PearlConfig(family, **{**SMALL, **settings})


def small_learner(family: TaskFamily | None = None, device: str = "cpu", **settings: Any) -> Learner:
    """A learner on the line."""
    return Learner(family or LineFamily(), small_config(**settings), device)


def small_explorer(**settings: Any) -> Explorer:
    """Fresh networks that act on the line."""
    family = LineFamily()
    config = PearlConfig("line", actor_hidden=(8,), encoder_hidden=(8,), **settings)
    return Explorer(family, Agent(family.spec, config, torch.Generator().manual_seed(0)))
