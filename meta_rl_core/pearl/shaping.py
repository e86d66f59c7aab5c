# SPDX-License-Identifier: Apache-2.0
"""Potential-based shaping: what RL batches are paid beside the reward, without changing which policy is best.

A potential Phi(s, task) adds discount * Phi(s') - Phi(s) to the reward of a transition (Ng, Harada and Russell 1999).
Critics then learn the value less Phi. Where Phi is what a body earns by staying where it is, nothing of that large
part, which every policy has in common, must be learnt before what actions change shows.
"""

from __future__ import annotations

import torch

from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.tasks import Array, TaskFamily


def shape_rewards(
    family: TaskFamily, transitions: dict[str, torch.Tensor], tasks: Array, config: PearlConfig
) -> dict[str, torch.Tensor]:
    """Transitions with `potential_weight` times the family's potential in their reward; contexts keep the plain one.

    Args:
        family: Knows the potential.
        transitions: Observation, next_observation, reward and terminal, shape (T, B, ...).
        tasks: The tasks they are judged for, shape (T, K).
        config: Discount and weight.
    """
    if config.potential_weight == 0.0:
        return transitions
    posed = tasks[:, None, :]
    before, after = (
        torch.as_tensor(family.potential(transitions[name].double().cpu().numpy(), posed))
        for name in ("observation", "next_observation")
    )
    reward = transitions["reward"]
    # The potential of an end is 0, or an end could be worth seeking for the potential alone.
    going_on = config.discount * (1.0 - transitions["terminal"].double().cpu())
    paid = config.potential_weight * (going_on * after - before)
    return {**transitions, "reward": reward + paid.to(reward.dtype).to(reward.device)}
