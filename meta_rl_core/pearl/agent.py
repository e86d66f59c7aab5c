# SPDX-License-Identifier: Apache-2.0
"""Encoder and actor: the two networks that leave training in a bundle."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from meta_rl_core.networks.actor import Actor
from meta_rl_core.networks.encoder import Encoder, product_of_gaussians
from meta_rl_core.pearl.batch import Batch
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.tasks import FamilySpec


def context_dim(spec: FamilySpec, config: PearlConfig) -> int:
    """Length of one encoded transition: s, a, r and, by option, s'."""
    observations = 2 if config.next_observation_in_context else 1
    return observations * spec.observation_dim + spec.action_dim + 1


class Agent(nn.Module):
    """The encoder q(z | context) and the actor pi(a | s, z)."""

    def __init__(self, spec: FamilySpec, config: PearlConfig, generator: torch.Generator) -> None:
        """Builds both networks; `generator` draws every initial weight."""
        super().__init__()
        self.config = config
        self.encoder = Encoder(
            context_dim(spec, config),
            config.latent_dim,
            config.encoder_hidden,
            layer_norm=config.layer_norm,
            deterministic=config.deterministic_latent,
            generator=generator,
        )
        self.actor = Actor(
            spec.observation_dim, config.latent_dim, spec.action_dim, config.actor_hidden, generator=generator
        )

    def encode_context(
        self, observation: Tensor, action: Tensor, reward: Tensor, next_observation: Tensor
    ) -> Tensor:
        """Encoder inputs (..., context_dim); `reward` (...) is the raw one, never scaled for the critics."""
        parts = [observation, action, reward.unsqueeze(-1) * self.config.context_reward_scale]
        if self.config.next_observation_in_context:
            parts.append(next_observation)
        return torch.cat(parts, dim=-1)

    def belief(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean and variance of z for a batch, each (tasks, latent): the posterior, or what an oracle is told."""
        if batch.known_z is not None:
            return batch.known_z, torch.zeros_like(batch.known_z)
        return self.posterior(batch.context)

    def posterior(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of z, each (tasks, latent), of context (tasks, n, context_dim)."""
        mean, variance = self.encoder(context)
        if self.config.deterministic_latent:
            return mean.mean(dim=1), variance.mean(dim=1)
        return product_of_gaussians(mean, variance, prior_in_product=self.config.prior_in_product)
