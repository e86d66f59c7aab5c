# SPDX-License-Identifier: Apache-2.0
"""Networks that say what a test wants, and lists of what they are shown and act on."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from meta_rl_core.pearl.agent import Agent
from meta_rl_core.pearl.rollout import Explorer
from meta_rl_core.tasks import Array


def walk_ahead(agent: Agent) -> None:
    """Always full speed, without noise: 0.2 a step on the line."""
    last = agent.actor.network.layers[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([20.0, -20.0]))


def act_by_chance(agent: Agent) -> None:
    """Before tanh every action is N(0, 1)."""
    last = agent.actor.network.layers[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.zero_()


def say_always(agent: Agent, mean: float, variance: float) -> None:
    """The encoder says the same of each transition; n of them together say N(mean, variance / n)."""
    last = agent.encoder.network.layers[-1]
    raw = torch.tensor([mean, math.log(math.expm1(variance))])
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(raw.repeat_interleave(agent.config.latent_dim))


def contexts_read(agent: Agent) -> list[Tensor]:
    """Fills up with what the encoder is shown, each (tasks, n, context_dim)."""
    read: list[Tensor] = []
    posterior = agent.posterior

    def spy(context: Tensor, *arguments: Any) -> Any:
        read.append(context)
        return posterior(context, *arguments)

    agent.posterior = spy  # type: ignore[method-assign]
    return read


def hypotheses_acted_on(explorer: Explorer) -> list[Array]:
    """Fills up with the z of each episode, each (N, latent)."""
    acted: list[Array] = []
    episode = explorer.episode

    def spy(tasks: Array, z: Array, *arguments: Any, **options: Any) -> Any:
        acted.append(z)
        return episode(tasks, z, *arguments, **options)

    explorer.episode = spy  # type: ignore[method-assign]
    return acted
