# SPDX-License-Identifier: Apache-2.0
"""One gradient step of the `fast` preset: twin target Qs, tuned temperature, reward prediction.

Differs from the paper where measurement justifies it: no V network (Haarnoja et al. 2018b), layer-normalised
critics, and a head that predicts the reward from (s, a, s', z), which teaches the encoder what distinguishes
tasks long before the Bellman error does (as in VariBAD, Zintgraf et al. 2020).
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from meta_rl_core.networks.critic import TwinCritic, polyak_update
from meta_rl_core.networks.encoder import aggregate_kl, kl_between, kl_to_standard_normal
from meta_rl_core.networks.mlp import MLP, use_native
from meta_rl_core.pearl.agent import Agent
from meta_rl_core.pearl.batch import Batch, draw_noise
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.precision import matrix_products
from meta_rl_core.tasks import FamilySpec

Gaussian = tuple[Tensor, Tensor]


class SacV2Update(nn.Module):
    """Networks, optimisers and the update of the `fast` preset."""

    def __init__(
        self,
        spec: FamilySpec,
        config: PearlConfig,
        agent: Agent,
        generator: torch.Generator,
    ) -> None:
        """Builds critics, auxiliary heads and the temperature."""
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
            scaled=config.normalise_observations,
            kind=config.critic_kind,
            effort_weight=config.reward_scale * spec.effort_weight if config.known_effort else 0.0,
        )
        self.target_critic: TwinCritic | None = None
        if config.critic_kind != "batch_norm":
            self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        seen = spec.observation_dim + spec.action_dim
        self.reward_head = MLP(
            seen + spec.observation_dim + config.latent_dim,
            config.encoder_hidden,
            1,
            layer_norm=config.layer_norm,
            generator=generator,
            observations_at=(0, seen) if config.normalise_observations else (),
        )
        self.transition_head = (
            MLP(
                seen + config.latent_dim,
                config.encoder_hidden,
                spec.observation_dim,
                layer_norm=config.layer_norm,
                generator=generator,
                observations_at=(0,) if config.normalise_observations else (),
            )
            if config.transition_prediction_weight
            else None
        )
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.initial_temperature)))
        self.target_entropy = config.target_entropy_per_action * spec.action_dim
        shared = [*agent.encoder.parameters(), *self.critic.parameters(), *self.reward_head.parameters()]
        if self.transition_head is not None:
            shared.extend(self.transition_head.parameters())
        if agent.embedding is not None:
            shared += agent.embedding.parameters()
        self.critic_optimiser = torch.optim.Adam(shared, lr=config.learning_rate, fused=True)
        self.actor_optimiser = torch.optim.Adam(agent.actor.parameters(), lr=config.learning_rate, fused=True)
        self.temperature_optimiser = torch.optim.Adam([self.log_temperature], lr=config.learning_rate)
        self.weights = {
            "kl_per_task": config.kl_weight,
            "aggregate_kl": config.aggregate_weight,
            "early_kl": config.early_context_weight,
            "inference_kl": config.inference_weight,
            "reward_loss": config.reward_prediction_weight,
            "transition_loss": config.transition_prediction_weight,
        }
        self.updates = 0
        use_native(self, config.native_networks)

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Every optimiser by name, for checkpoints."""
        return {
            "critic": self.critic_optimiser,
            "actor": self.actor_optimiser,
            "temperature": self.temperature_optimiser,
        }

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Updates encoder and critics, every `policy_delay`-th time also actor and temperature.

        Returns:
            Scalar losses by name, detached.
        """
        noise = draw_noise(self.noise_shapes(batch), batch, generator)
        losses = self.learn(batch, noise, with_actor=self.actor_is_due())
        self.updates += 1
        return losses

    def noise_shapes(self, batch: Batch) -> tuple[tuple[int, ...], ...]:
        """Shapes of the noise one update takes, in the order it is drawn: for z, for actions and for next actions."""
        actions = tuple(batch.action.shape)
        return (len(batch.context), self.config.latent_dim), actions, actions

    def actor_is_due(self) -> bool:
        """Whether the next update includes a step of the actor."""
        return (self.updates + 1) % self.config.policy_delay == 0

    def learn(self, batch: Batch, noise: tuple[Tensor, ...], *, with_actor: bool) -> dict[str, Tensor]:
        """One gradient step for given noise; neither draws nor decides, so that it may run as a CUDA graph."""
        latent_noise, action_noise, next_noise = noise
        losses, z = self.critic_losses(batch, latent_noise, next_noise)
        loss = losses["critic_loss"]
        for name, weight in self.weights.items():
            if weight:  # else nobody asks for its gradient
                loss = loss + weight * losses[name]
        self.critic_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.critic_optimiser.step()
        if with_actor:
            losses.update(self._actor_step(batch.observation, z.detach(), action_noise))
        if self.target_critic is not None:
            polyak_update(self.target_critic, self.critic, self.config.target_rate)
        return {name: value.detach() for name, value in losses.items()}

    def critic_losses(
        self, batch: Batch, latent_noise: Tensor, next_noise: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Everything the encoder and the critics learn from.

        Args:
            batch: Transitions and contexts of T tasks.
            latent_noise: Standard normal, shape (T, latent).
            next_noise: Standard normal, shape (T, B, A).

        Returns:
            Losses by name and the sampled z, shape (T, 1, latent).
        """
        learns_from_values = self.config.bellman_gradient_to_encoder
        with matrix_products(self.config.reduced_precision, batch.observation.device):
            inferred = self.agent.belief(batch)
            told = self._told(batch, inferred)
            mean, variance = self._mixed(told, inferred)
            z = (mean + variance.sqrt() * latent_noise).unsqueeze(1)
            rows = z.expand(-1, batch.observation.shape[1], -1)
            target_mean, target_variance = told[0].detach(), told[1].detach()
            losses = {
                **self._bottleneck(*told),
                "early_kl": self._early_loss(batch, target_mean, target_variance),
                "inference_kl": self._inference_loss(target_mean, target_variance, inferred),
                "critic_loss": self._critic_loss(
                    batch, rows if learns_from_values else rows.detach(), next_noise
                ),
                "reward_loss": self._reward_loss(batch, rows),
                "posterior_variance": variance.mean(),
            }
            if self.transition_head is not None:
                losses["transition_loss"] = _transition_loss(self.transition_head, batch, rows)
        return losses, z

    def _bottleneck(self, mean: Tensor, variance: Tensor) -> dict[str, Tensor]:
        """What keeps the posteriors, each and all together, close to the prior; an oracle has none."""
        if not self.config.has_bottleneck:
            return {name: torch.zeros((), device=mean.device) for name in ("kl_per_task", "aggregate_kl")}
        with torch.autocast(mean.device.type, enabled=False):
            together = aggregate_kl(mean, variance)
        return {"kl_per_task": kl_to_standard_normal(mean, variance) / len(mean), "aggregate_kl": together}

    def _told(self, batch: Batch, inferred: Gaussian) -> Gaussian:
        """What z is for the tasks themselves; without an embedding nobody knows better than the encoder."""
        if self.agent.embedding is None or batch.task_features is None:
            return inferred
        told: Gaussian = self.agent.embedding(batch.task_features)
        return told

    def _mixed(self, told: Gaussian, inferred: Gaussian) -> Gaussian:
        """The first tasks of the batch are told what they are; tasks come in random order."""
        count = round(self.config.privileged_share * len(inferred[0]))
        mean, variance = (torch.cat([a[:count], b[count:]]) for a, b in zip(told, inferred, strict=True))
        return mean, variance

    def _critic_loss(self, batch: Batch, z: Tensor, noise: Tensor) -> Tensor:
        with torch.no_grad():
            following = self.agent.actor.sample(batch.next_observation, z, noise)
        first, second, bootstrap = self._values(batch, z, following.action)
        with torch.no_grad():
            bootstrap = bootstrap - self.log_temperature.exp() * following.log_prob
            target = self.config.reward_scale * batch.reward
            target = target + (1.0 - batch.terminal) * self.config.discount * bootstrap
        return functional.mse_loss(first, target) + functional.mse_loss(second, target)

    def _values(self, batch: Batch, z: Tensor, following: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Both values of what was done, and the smaller one of what follows, each (T, B).

        Without target critics both go through the critics together, normalised by the same statistics.
        """
        if self.target_critic is not None:
            first, second = self.critic(batch.observation, batch.action, z)
            with torch.no_grad():
                return first, second, self.target_critic.smaller(batch.next_observation, following, z)
        pairs = ((batch.observation, batch.next_observation), (batch.action, following), (z, z.detach()))
        values = self.critic(*(torch.cat(pair, dim=-2) for pair in pairs))
        (first, next_first), (second, next_second) = (value.chunk(2, dim=-1) for value in values)
        return first, second, torch.minimum(next_first, next_second).detach()

    def _inference_loss(self, mean: Tensor, variance: Tensor, inferred: Gaussian) -> Tensor:
        """How badly the posterior covers what the embedding knows of the task."""
        if self.agent.embedding is None:
            return torch.zeros((), device=mean.device)
        return kl_between(mean, variance, *inferred).mean()

    def _early_loss(self, batch: Batch, mean: Tensor, variance: Tensor) -> Tensor:
        """How badly the posterior of an uninformed context covers what turns out to be true of its task."""
        if batch.early_context is None or not self.config.has_bottleneck:
            return torch.zeros((), device=mean.device)
        early = self.agent.posterior(batch.early_context, batch.early_starts)
        return kl_between(mean, variance, *early).mean()

    def _reward_loss(self, batch: Batch, z: Tensor) -> Tensor:
        if self.config.reward_prediction_weight == 0.0:
            return torch.zeros((), device=z.device)
        inputs = torch.cat([batch.observation, batch.action, batch.next_observation, z], dim=-1)
        return functional.mse_loss(
            self.reward_head(inputs).squeeze(-1), self.config.reward_scale * batch.reward
        )

    def actor_losses(self, observation: Tensor, z: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """What the actor learns from; the critics are a fixed judge here.

        Args:
            observation: Shape (T, B, O).
            z: Detached hypotheses, shape (T, 1, latent).
            noise: Standard normal, shape (T, B, A).
        """
        with matrix_products(self.config.reduced_precision, observation.device):
            rows = z.expand(-1, observation.shape[1], -1)
            sample = self.agent.actor.sample(observation, rows, noise)
            smaller = self.critic.smaller(observation, sample.action, rows, fixed=True)
        temperature = self.log_temperature.exp().detach()
        loss = (temperature * sample.log_prob - smaller).mean()
        return {"actor_loss": loss, "entropy": -sample.log_prob.mean(), "temperature": temperature}

    def _actor_step(self, observation: Tensor, z: Tensor, noise: Tensor) -> dict[str, Tensor]:
        losses = self.actor_losses(observation, z, noise)
        self.actor_optimiser.zero_grad(set_to_none=True)
        losses["actor_loss"].backward()
        self.actor_optimiser.step()
        excess = self.target_entropy - losses["entropy"].detach()
        self.temperature_optimiser.zero_grad(set_to_none=True)
        (-self.log_temperature * excess).backward()
        self.temperature_optimiser.step()
        return losses


def _transition_loss(head: MLP, batch: Batch, z: Tensor) -> Tensor:
    """How badly the hypothesis tells where a body of the task moves next, on the scale that the head sees."""
    moved = head(torch.cat([batch.observation, batch.action, z], dim=-1))
    wanted = batch.next_observation - batch.observation
    if head.input_scale is not None:
        wanted = wanted * head.input_scale.scale[: wanted.shape[-1]]
    return functional.mse_loss(moved, wanted)
