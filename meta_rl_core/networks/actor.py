# SPDX-License-Identifier: Apache-2.0
"""The actor: a tanh-squashed Gaussian over actions, conditioned on observation and z."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from meta_rl_core.networks.mlp import MLP

LOG_STD_RANGE = (-20.0, 2.0)
"""Bounds of the Gaussian's log standard deviation, as in the paper's published code."""


class PolicySample(NamedTuple):
    """A reparameterised action with what the losses need."""

    action: Tensor
    """Within (-1, 1), shape (..., A)."""
    log_prob: Tensor
    """Log density of the action, shape (...)."""
    mean: Tensor
    """Mean before tanh, shape (..., A)."""
    log_std: Tensor
    """Shape (..., A)."""


class Actor(nn.Module):
    """pi(a | s, z)."""

    def __init__(
        self,
        observation_dim: int,
        latent_dim: int,
        action_dim: int,
        hidden: Sequence[int],
        *,
        generator: torch.Generator,
        layer_norm: bool = False,
        scaled: bool = False,
    ) -> None:
        """Builds one network with two heads (mean, log std) side by side; `scaled` observations are normalised."""
        super().__init__()
        self.network = MLP(
            observation_dim + latent_dim,
            hidden,
            2 * action_dim,
            layer_norm=layer_norm,
            last_layer_scale=1e-3,
            generator=generator,
            observations_at=(0,) if scaled else (),
        )

    def forward(self, observation: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean before tanh and log std, each (..., A), of observation (..., O) and z (..., latent)."""
        mean, log_std = self.network(torch.cat([observation, z], dim=-1)).chunk(2, dim=-1)
        return mean, log_std.clamp(*LOG_STD_RANGE)

    def sample(self, observation: Tensor, z: Tensor, noise: Tensor) -> PolicySample:
        """Action for standard normal `noise` of shape (..., A); gradients flow through it."""
        mean, log_std = self(observation, z)
        action = torch.tanh(mean + log_std.exp() * noise)
        gaussian = -0.5 * noise.square() - log_std - 0.5 * math.log(2.0 * math.pi)
        log_prob = (gaussian - torch.log(1.0 - action.square() + 1e-6)).sum(dim=-1)
        return PolicySample(action, log_prob, mean, log_std)

    def act(self, observation: Tensor, z: Tensor) -> Tensor:
        """Deterministic action tanh(mean), shape (..., A)."""
        mean, _ = self(observation, z)
        return torch.tanh(mean)
