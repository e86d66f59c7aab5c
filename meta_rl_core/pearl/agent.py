# SPDX-License-Identifier: Apache-2.0
"""Encoder and actor, which leave training in a bundle, and their teacher, which does not."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from meta_rl_core.networks.actor import Actor
from meta_rl_core.networks.encoder import Encoder, product_of_gaussians
from meta_rl_core.networks.recurrent_encoder import RecurrentEncoder, episode_ends
from meta_rl_core.networks.task_embedding import TaskEmbedding
from meta_rl_core.pearl.batch import Batch
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.tasks import FamilySpec


def context_dim(spec: FamilySpec, config: PearlConfig) -> int:
    """Length of one encoded transition: s, a, r and, by option, s'."""
    observations = 2 if config.next_observation_in_context else 1
    return observations * spec.observation_dim + spec.action_dim + 1


class Agent(nn.Module):
    """The encoder q(z | context), the actor pi(a | s, z) and, by option, the embedding p(z | task)."""

    def __init__(
        self,
        spec: FamilySpec,
        config: PearlConfig,
        generator: torch.Generator,
        known_features: Tensor | None = None,
    ) -> None:
        """Builds the networks; `generator` draws every initial weight.

        Args:
            spec: The family's sizes.
            config: The run's settings.
            generator: Draws weights.
            known_features: Features of the training tasks, shape (n, F); needed for an embedding of tasks.
        """
        super().__init__()
        self.config = config
        self.encoder = _make_encoder(spec, config, generator)
        self.actor = Actor(
            spec.observation_dim,
            config.latent_dim,
            spec.action_dim,
            config.actor_hidden,
            generator=generator,
            scaled=config.normalise_observations,
        )
        self.known_features = torch.empty((0, 0)) if known_features is None else known_features
        self.embedding: TaskEmbedding | None = None
        if config.privileged_share > 0.0:
            self.embedding = TaskEmbedding(
                self.known_features.shape[1], config.latent_dim, generator=generator
            )

    @torch.no_grad()
    def hypotheses(self, count: int, generator: np.random.Generator) -> NDArray[np.float64]:
        """What to act on before anything is known, shape (count, latent).

        Samples of the prior; with an embedding of tasks, what it makes of random training tasks.
        """
        noise = generator.standard_normal((count, self.config.latent_dim))
        if self.embedding is None:
            return noise
        tasks = torch.from_numpy(generator.integers(len(self.known_features), size=count))
        device = next(self.embedding.parameters()).device
        mean, variance = (
            part.cpu().double().numpy() for part in self.embedding(self.known_features[tasks].to(device))
        )
        return np.asarray(mean + np.sqrt(variance) * noise)

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
        return self.posterior(batch.context, batch.context_starts)

    def posterior(self, context: Tensor, starts: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and variance of z, each (tasks, latent).

        Args:
            context: Encoded transitions, shape (tasks, n, context_dim); for a recurrent encoder in the order lived.
            starts: True where an episode begins, shape (tasks, n), for a recurrent encoder; by default all is one.
        """
        mask = None
        if isinstance(self.encoder, RecurrentEncoder):
            if starts is None:
                starts = torch.zeros(context.shape[:2], dtype=torch.bool, device=context.device)
            mean, variance = self.encoder(context, starts)
            mask = episode_ends(starts).to(mean.dtype)
        else:
            mean, variance = self.encoder(context)
        if self.config.deterministic_latent:
            return _average(mean, mask), variance.mean(dim=1)
        return product_of_gaussians(mean, variance, prior_in_product=self.config.prior_in_product, mask=mask)


def _make_encoder(
    spec: FamilySpec, config: PearlConfig, generator: torch.Generator
) -> Encoder | RecurrentEncoder:
    sizes = (context_dim(spec, config), config.latent_dim, config.encoder_hidden)
    norm, deterministic = config.layer_norm, config.deterministic_latent
    if config.recurrent_encoder:
        return RecurrentEncoder(
            *sizes,
            window=config.recurrent_window,
            layer_norm=norm,
            deterministic=deterministic,
            generator=generator,
        )
    places: tuple[int, ...] = ()
    if config.normalise_observations:
        places = (0, context_dim(spec, config) - spec.observation_dim)[
            : 1 + config.next_observation_in_context
        ]
    return Encoder(
        *sizes, layer_norm=norm, deterministic=deterministic, generator=generator, observations_at=places
    )


def _average(mean: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the transitions that count, shape (tasks, latent)."""
    if mask is None:
        return mean.mean(dim=1)
    return (mean * mask.unsqueeze(-1)).sum(dim=1) / mask.sum(dim=1, keepdim=True)
