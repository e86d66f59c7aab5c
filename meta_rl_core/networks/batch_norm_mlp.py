# SPDX-License-Identifier: Apache-2.0
"""Critics that need no target network: batch-renormalised layers, as in CrossQ (Bhatt et al. 2024).

What is learnt and what it is learnt towards go through the network together, so that both are normalised by the same
statistics; these, and no slow copy of the weights, keep the values from running away.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from meta_rl_core.networks.input_scale import InputScale
from meta_rl_core.networks.mlp import apply_linear, linear

EPSILON = 1e-3
MOMENTUM = 0.01
"""What one batch counts for in the running statistics."""
WARM_UP = 100_000
"""Batches that are normalised by themselves alone, while running statistics settle."""
LARGEST_RATIO, LARGEST_SHIFT = 3.0, 5.0
"""How far a batch may be taken from its own statistics to the running ones (Ioffe 2017)."""


class BatchRenorm(nn.Module):
    """Normalises by a batch while learning, towards running statistics; by these alone when judging (Ioffe 2017)."""

    mean: Tensor
    std: Tensor
    batches: Tensor

    def __init__(self, size: int) -> None:
        """Starts as a normalisation that changes nothing but the scale of a batch."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, inputs: Tensor, *, fixed: bool = False) -> Tensor:
        """Maps (..., size) to the same shape; with `fixed` by running statistics, and weights count as constants."""
        if fixed:
            normalised = (inputs - self.mean) / self.std
            return normalised * self.weight.detach() + self.bias.detach()
        rows = inputs.flatten(0, -2)
        mean, std = rows.mean(dim=0), (rows.var(dim=0, unbiased=False) + EPSILON).sqrt()
        normalised = (inputs - mean) / std
        ratio, shift = self._correction(mean.detach(), std.detach())
        self._remember(mean.detach(), std.detach())
        return (normalised * ratio + shift) * self.weight + self.bias

    def _correction(self, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        """How to get from statistics of the batch to the running ones; nothing while those are young."""
        settled = (self.batches >= WARM_UP).to(mean.dtype)
        ratio = (std / self.std).clamp(1.0 / LARGEST_RATIO, LARGEST_RATIO)
        shift = ((mean - self.mean) / self.std).clamp(-LARGEST_SHIFT, LARGEST_SHIFT)
        return 1.0 + settled * (ratio - 1.0), settled * shift

    def _remember(self, mean: Tensor, std: Tensor) -> None:
        """In place, so that a CUDA graph finds statistics where it left them."""
        self.mean.lerp_(mean, MOMENTUM)
        self.std.lerp_(std, MOMENTUM)
        self.batches += 1.0


class BatchNormMLP(nn.Module):
    """Linear layers with ReLU, a normalisation before each."""

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        *,
        generator: torch.Generator,
        observations_at: Sequence[int] = (),
    ) -> None:
        """Builds the layers; `generator` draws every initial weight."""
        super().__init__()
        self.input_scale = InputScale(inputs, observations_at) if observations_at else None
        widths = (inputs, *hidden)
        self.norms = nn.ModuleList(BatchRenorm(width) for width in widths)
        self.linears = nn.ModuleList(
            linear(width, size, width**-0.5, 0.0, generator)
            for width, size in zip(widths, hidden, strict=False)
        )
        self.last = linear(widths[-1], outputs, 3e-3, None, generator)

    def forward(self, inputs: Tensor, *, fixed: bool = False) -> Tensor:
        """Maps (..., inputs) to (..., outputs); with `fixed` as a judge that learns nothing from being asked."""
        hidden = inputs if self.input_scale is None else self.input_scale(inputs)
        for norm, layer in zip(self.norms, self.linears, strict=False):
            product = apply_linear(layer, norm(hidden, fixed=fixed), fixed=fixed)
            hidden = product.relu().to(inputs.dtype)
        with torch.autocast(hidden.device.type, enabled=False):
            return apply_linear(self.last, self.norms[-1](hidden, fixed=fixed), fixed=fixed)
