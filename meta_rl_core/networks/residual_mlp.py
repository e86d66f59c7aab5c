# SPDX-License-Identifier: Apache-2.0
"""Residual blocks as in SimBa (Lee et al. 2025): x + W2 relu(W1 norm(x)), and a normalisation before the last layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from meta_rl_core.networks.input_scale import InputScale
from meta_rl_core.networks.mlp import apply_linear, apply_norm, linear

EXPANSION = 4
"""How much wider than the residual stream a block is within, as published."""


class ResidualMLP(nn.Module):
    """A linear layer, residual blocks and a linear layer, on inputs of which observations may be scaled.

    Hidden weights begin as in `MLP`, the way out of each block with a tenth of that, so that it begins near identity.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        blocks: int,
        outputs: int,
        *,
        generator: torch.Generator,
        observations_at: Sequence[int] = (),
    ) -> None:
        """Builds the layers; `generator` draws every initial weight."""
        super().__init__()
        self.input_scale = InputScale(inputs, observations_at) if observations_at else None
        inner = EXPANSION * width
        self.first = linear(inputs, width, width**-0.5, 0.0, generator)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(blocks))
        self.widening = nn.ModuleList(
            linear(width, inner, width**-0.5, 0.0, generator) for _ in range(blocks)
        )
        self.narrowing = nn.ModuleList(
            linear(inner, width, 0.1 * inner**-0.5, 0.0, generator) for _ in range(blocks)
        )
        self.last_norm = nn.LayerNorm(width)
        self.last = linear(width, outputs, 3e-3, None, generator)

    def forward(self, inputs: Tensor, *, fixed: bool = False) -> Tensor:
        """Maps (..., inputs) to (..., outputs); with `fixed` the weights count as constants.

        Residual stream, normalisations and last layer stay in float32, whatever the products within blocks run in.
        """
        scaled = inputs if self.input_scale is None else self.input_scale(inputs)
        hidden = apply_linear(self.first, scaled, fixed=fixed).to(inputs.dtype)
        for norm, widening, narrowing in zip(self.norms, self.widening, self.narrowing, strict=True):
            inner = apply_linear(widening, apply_norm(norm, hidden, fixed=fixed), fixed=fixed).relu()
            hidden = hidden + apply_linear(narrowing, inner, fixed=fixed).to(inputs.dtype)
        with torch.autocast(hidden.device.type, enabled=False):
            return apply_linear(self.last, apply_norm(self.last_norm, hidden, fixed=fixed), fixed=fixed)
