# SPDX-License-Identifier: Apache-2.0
"""What z should be for a task whose parameters are known: a teacher of the encoder, in training only."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from meta_rl_core.belief import MINIMUM_VARIANCE
from meta_rl_core.networks.mlp import MLP

HIDDEN = (64, 64)


class TaskEmbedding(nn.Module):
    """Maps task features to the mean and variance of p(z | task).

    The encoder learns to infer, from context, what this network knows from the task itself (task inference with
    privileged information, Humplik et al. 2019). It never leaves training.
    """

    def __init__(self, feature_dim: int, latent_dim: int, *, generator: torch.Generator) -> None:
        """Builds the network; `generator` draws every initial weight."""
        super().__init__()
        self.network = MLP(feature_dim, HIDDEN, 2 * latent_dim, generator=generator)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of z, each (tasks, latent), of features (tasks, feature_dim)."""
        mean, raw = self.network(features).float().chunk(2, dim=-1)
        return mean, functional.softplus(raw).clamp(min=MINIMUM_VARIANCE)
