# SPDX-License-Identifier: Apache-2.0
"""A context encoder that reads transitions in the order lived; its state starts anew in each episode.

The recurrent encoder of the paper's ablation (Rakelly et al. 2019, ablations), here with gated recurrent units (Cho
et al. 2014). Each episode of a context becomes one Gaussian factor over z, read off the state after its last
transition; the posterior is their product. So the belief stays one of independent pieces of evidence, now one per
episode, and nothing that happened before a reset is mistaken for motion. A state that has read n transitions gives the
variance of one of them, of which its factor has the n-th part: a fresh network is then as sure of z as a product of n
factors would make it. Without that z drowns in noise, and the bottleneck closes before anything is learnt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from meta_rl_core.belief import MINIMUM_VARIANCE
from meta_rl_core.networks.mlp import MLP


class RecurrentEncoder(nn.Module):
    """Maps transitions in order to the mean and variance of one factor, after every one of them."""

    def __init__(
        self,
        context_dim: int,
        latent_dim: int,
        hidden: Sequence[int],
        *,
        window: int,
        generator: torch.Generator,
        layer_norm: bool = False,
        deterministic: bool = False,
    ) -> None:
        """Builds linear layers of the sizes `hidden`, recurrent units as many as the last of them, and a linear head.

        Args:
            context_dim: Length of one encoded transition.
            latent_dim: Length of z.
            hidden: Widths; at least one.
            window: Transitions at the end of each episode that gradients go through.
            generator: Draws every initial weight.
            layer_norm: Normalise the linear layers.
            deterministic: Without variances: they are 0.
        """
        super().__init__()
        *before, width = hidden
        self.latent_dim = latent_dim
        self.window = window
        self.deterministic = deterministic
        self.features = MLP(
            context_dim,
            before,
            width,
            layer_norm=layer_norm,
            last_layer_scale=1.0 / math.sqrt(width),
            generator=generator,
        )
        self.cell = nn.GRUCell(width, width)
        with torch.no_grad():
            for parameter in self.cell.parameters():
                parameter.uniform_(-1.0 / math.sqrt(width), 1.0 / math.sqrt(width), generator=generator)
        # States are small and one factor is not sharpened by others: a head as small as usual would drown in noise.
        self.head = MLP(
            width,
            (),
            latent_dim if deterministic else 2 * latent_dim,
            last_layer_scale=1.0 / math.sqrt(width),
            generator=generator,
        )

    def forward(self, context: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        """The factor of its episode so far, after every transition.

        Args:
            context: In the order lived, shape (T, C, context_dim).
            starts: True where an episode begins; the state is zero there, shape (T, C).

        Returns:
            Means and variances, each (T, C, latent).
        """
        inputs = self.prepare(context)
        state = self.initial_state(len(context), inputs.device)
        cuts = _steps_left(starts) == self.window
        states = []
        for step in range(inputs.shape[1]):
            if self.window < inputs.shape[1]:
                state = torch.where(cuts[:, step, None], state.detach(), state)
            state = self.advance(inputs[:, step], state.masked_fill(starts[:, step, None], 0.0))
            states.append(state)
        return self.factor(torch.stack(states, dim=1), _steps_read(starts))

    def initial_state(self, count: int, device: torch.device) -> Tensor:
        """The state at the start of an episode, zeros (count, width)."""
        return torch.zeros((count, self.cell.hidden_size), device=device)

    def prepare(self, context: Tensor) -> Tensor:
        """What the recurrent units read of each transition, (..., width)."""
        prepared: Tensor = self.features(context).relu()
        return prepared

    def advance(self, prepared: Tensor, state: Tensor) -> Tensor:
        """The state after one more transition (N, width), in float32: rounding would add up over an episode."""
        with torch.autocast(prepared.device.type, enabled=False):
            following: Tensor = self.cell(prepared.float(), state)
        return following

    def factor(self, state: Tensor, read: Tensor) -> tuple[Tensor, Tensor]:
        """What a state stands for: mean and variance, each (..., latent).

        Args:
            state: Shape (..., width).
            read: How many transitions it has read, at least 1, shape (...).
        """
        if self.deterministic:
            point: Tensor = self.head(state)
            return point, torch.zeros_like(point)
        mean, raw = self.head(state).chunk(2, dim=-1)
        return mean, (functional.softplus(raw) / read.unsqueeze(-1)).clamp(min=MINIMUM_VARIANCE)


def episode_ends(starts: Tensor) -> Tensor:
    """True at the last transition before an episode begins and at the end of each context, shape (T, C)."""
    return torch.cat([starts[:, 1:], torch.ones_like(starts[:, :1])], dim=1)


def _steps_read(starts: Tensor) -> Tensor:
    """Transitions from the beginning of its episode (or of the context) to each one, itself included, shape (T, C)."""
    positions = torch.arange(starts.shape[1], device=starts.device).expand_as(starts)
    return positions - positions.masked_fill(~starts, 0).cummax(dim=1).values + 1


def _steps_left(starts: Tensor) -> Tensor:
    """Transitions from each one to the end of its episode, itself included, shape (T, C)."""
    length = starts.shape[1]
    positions = torch.arange(length, device=starts.device).expand_as(starts)
    ends = positions.masked_fill(~episode_ends(starts), length)
    return ends.flip(1).cummin(dim=1).values.flip(1) - positions + 1
