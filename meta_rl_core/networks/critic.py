# SPDX-License-Identifier: Apache-2.0
"""Critics: twin action values Q(s, a, z) and the state value V(s, z)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from meta_rl_core.networks.batch_norm_mlp import BatchNormMLP
from meta_rl_core.networks.mlp import MLP
from meta_rl_core.networks.residual_mlp import ResidualMLP

ValueNetwork = MLP | ResidualMLP | BatchNormMLP


class TwinCritic(nn.Module):
    """Two independent action-value networks; losses use both, targets the smaller (Fujimoto et al. 2018)."""

    def __init__(
        self,
        observation_dim: int,
        action_dim: int,
        latent_dim: int,
        hidden: Sequence[int],
        *,
        generator: torch.Generator,
        layer_norm: bool = False,
        scaled: bool = False,
        kind: str = "plain",
        effort_weight: float = 0.0,
    ) -> None:
        """Builds both networks from one generator, so they start different; `scaled` observations are normalised.

        `kind` is one of the configuration's `critic_kind`. What an action costs by itself, `effort_weight` times the
        sum of its squares, is taken off both values as it is: no network must find it beside all that comes after.
        """
        super().__init__()
        self.effort_weight = effort_weight
        inputs, places = observation_dim + action_dim + latent_dim, (0,) if scaled else ()

        def build() -> ValueNetwork:
            if kind == "simba":
                return ResidualMLP(
                    inputs, hidden[0], len(hidden), 1, generator=generator, observations_at=places
                )
            if kind == "batch_norm":
                return BatchNormMLP(inputs, hidden, 1, generator=generator, observations_at=places)
            return MLP(inputs, hidden, 1, layer_norm=layer_norm, generator=generator, observations_at=places)

        self.first, self.second = build(), build()

    def forward(
        self, observation: Tensor, action: Tensor, z: Tensor, *, fixed: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Both values, each of shape (...); with `fixed` no gradient reaches the weights."""
        inputs = torch.cat([observation, action, z], dim=-1)
        first, second = (network(inputs, fixed=fixed).squeeze(-1) for network in (self.first, self.second))
        if self.effort_weight == 0.0:
            return first, second
        effort = self.effort_weight * action.square().sum(dim=-1)
        return first - effort, second - effort

    def smaller(self, observation: Tensor, action: Tensor, z: Tensor, *, fixed: bool = False) -> Tensor:
        """The smaller of both values, shape (...)."""
        return torch.minimum(*self(observation, action, z, fixed=fixed))


class ValueFunction(nn.Module):
    """V(s, z), shape (...)."""

    def __init__(
        self, observation_dim: int, latent_dim: int, hidden: Sequence[int], *, generator: torch.Generator
    ) -> None:
        """Builds the network."""
        super().__init__()
        self.network = MLP(observation_dim + latent_dim, hidden, 1, generator=generator)

    def forward(self, observation: Tensor, z: Tensor) -> Tensor:
        """The value of `observation` under hypothesis `z`."""
        value: Tensor = self.network(torch.cat([observation, z], dim=-1)).squeeze(-1)
        return value


@torch.no_grad()
def polyak_update(target: nn.Module, source: nn.Module, rate: float) -> None:
    """Moves `target` toward `source` by the share `rate`."""
    torch._foreach_lerp_(list(target.parameters()), list(source.parameters()), rate)
