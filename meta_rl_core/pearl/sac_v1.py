# SPDX-License-Identifier: Apache-2.0
"""One gradient step of PEARL as published: SAC with twin Q, V and a target V at fixed temperature.

Rakelly et al. 2019, algorithm 1, with the order and gradient routes of the published code: z reaches the encoder
only through the Q regression and the information bottleneck; actor, V and the minimum of both Qs see z detached.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from meta_rl_core.networks.critic import TwinCritic, ValueFunction, polyak_update
from meta_rl_core.networks.encoder import kl_to_standard_normal
from meta_rl_core.networks.mlp import use_native
from meta_rl_core.pearl.agent import Agent
from meta_rl_core.pearl.batch import Batch, draw_noise
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.precision import matrix_products
from meta_rl_core.tasks import FamilySpec

ACTION_REGULARISATION = 1e-3
"""Weight of the squared pre-tanh mean and of the squared log std in the actor loss."""


class SacV1Update(nn.Module):
    """Networks, optimisers and the update of the `paper` preset."""

    def __init__(
        self,
        spec: FamilySpec,
        config: PearlConfig,
        agent: Agent,
        generator: torch.Generator,
    ) -> None:
        """Builds critics and one Adam optimiser per network."""
        super().__init__()
        self.config = config
        self.agent = agent
        self.critic = TwinCritic(
            spec.observation_dim,
            spec.action_dim,
            config.latent_dim,
            config.critic_hidden,
            layer_norm=config.layer_norm,
            generator=generator,
        )
        self.value = ValueFunction(
            spec.observation_dim, config.latent_dim, config.critic_hidden, generator=generator
        )
        self.target_value = copy.deepcopy(self.value).requires_grad_(False)
        self.updates = 0
        use_native(self, config.native_networks)
        rate = config.learning_rate
        self.encoder_optimiser = torch.optim.Adam(agent.encoder.parameters(), lr=rate, fused=True)
        self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), lr=rate, fused=True)
        self.value_optimiser = torch.optim.Adam(self.value.parameters(), lr=rate, fused=True)
        self.actor_optimiser = torch.optim.Adam(agent.actor.parameters(), lr=rate, fused=True)

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Every optimiser by name, for checkpoints."""
        return {
            "encoder": self.encoder_optimiser,
            "critic": self.critic_optimiser,
            "value": self.value_optimiser,
            "actor": self.actor_optimiser,
        }

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Updates every network once.

        Returns:
            Scalar losses by name, detached.
        """
        noise = draw_noise(self.noise_shapes(batch), batch, generator)
        losses = self.learn(batch, noise, with_actor=self.actor_is_due())
        self.updates += 1
        return losses

    def noise_shapes(self, batch: Batch) -> tuple[tuple[int, ...], ...]:
        """Shapes of the standard normal noise one update takes, in the order it is drawn: for z and for actions."""
        return (len(batch.context), self.config.latent_dim), tuple(batch.action.shape)

    def actor_is_due(self) -> bool:
        """Whether the next update includes a step of the actor: always."""
        return True

    def learn(self, batch: Batch, noise: tuple[Tensor, ...], *, with_actor: bool) -> dict[str, Tensor]:
        """One gradient step for given noise; neither draws nor decides, so that it may run as a CUDA graph."""
        del with_actor
        latent_noise, action_noise = noise
        with self._precision(batch):
            mean, variance = self.agent.belief(batch)
            z = (
                (mean + variance.sqrt() * latent_noise)
                .unsqueeze(1)
                .expand(-1, batch.observation.shape[1], -1)
            )
            divergence = torch.zeros((), device=z.device)
            if self.config.has_bottleneck:
                divergence = kl_to_standard_normal(mean, variance)
            critic_loss = self._critic_loss(batch, z)
        self._descend(
            self.config.kl_weight * divergence + critic_loss, self.critic_optimiser, self.encoder_optimiser
        )
        losses = self._actor_and_value_step(batch, z.detach(), action_noise)
        polyak_update(self.target_value, self.value, self.config.target_rate)
        losses.update(
            critic_loss=critic_loss.detach(),
            kl_per_task=divergence.detach() / mean.shape[0],
            posterior_variance=variance.detach().mean(),
        )
        return losses

    def _precision(self, batch: Batch) -> torch.autocast:
        """Inside, hidden layers run in bfloat16 if the configuration asks for it and the processor has it."""
        return matrix_products(self.config.reduced_precision, batch.observation.device)

    def _critic_loss(self, batch: Batch, z: Tensor) -> Tensor:
        with torch.no_grad():
            bootstrap = self.target_value(batch.next_observation, z.detach())
            target = self.config.reward_scale * batch.reward
            target = target + (1.0 - batch.terminal) * self.config.discount * bootstrap
        first, second = self.critic(batch.observation, batch.action, z)
        return functional.mse_loss(first, target) + functional.mse_loss(second, target)

    def _actor_and_value_step(self, batch: Batch, z: Tensor, noise: Tensor) -> dict[str, Tensor]:
        with self._precision(batch):
            sample = self.agent.actor.sample(batch.observation, z, noise)
            smaller = self.critic.smaller(batch.observation, sample.action, z, fixed=True)
            value = self.value(batch.observation, z)
        value_loss = functional.mse_loss(value, (smaller - sample.log_prob).detach())
        regularisation = ACTION_REGULARISATION * (
            sample.mean.square().mean() + sample.log_std.square().mean()
        )
        actor_loss = (sample.log_prob - smaller).mean() + regularisation
        self._descend(value_loss, self.value_optimiser)
        self._descend(actor_loss, self.actor_optimiser)
        return {
            "value_loss": value_loss.detach(),
            "actor_loss": actor_loss.detach(),
            "entropy": -sample.log_prob.detach().mean(),
        }

    @staticmethod
    def _descend(loss: Tensor, *optimisers: Any) -> None:
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
