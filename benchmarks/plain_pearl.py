# SPDX-License-Identifier: Apache-2.0
"""PEARL's update written plainly: eager float32 PyTorch, one module per network, one optimiser each.

The yardstick of `benchmarks.meta_update`, and what the quick version is tested against. It follows Rakelly et al.
2019 term by term and shares no code with `meta_rl_core.pearl.sac_v1`.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from meta_rl_core.networks.encoder import Encoder
from meta_rl_core.networks.mlp import MLP
from meta_rl_core.pearl.batch import Batch
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.sac_v1 import SacV1Update


class PlainUpdate:
    """The published update on copies of another update's weights."""

    def __init__(self, update: SacV1Update) -> None:
        """Starts from the weights of `update`, with optimisers of its own."""
        self.config: PearlConfig = update.config
        encoder = update.agent.encoder
        assert isinstance(encoder, Encoder), "this version knows no recurrent encoder"
        first, second = update.critic.first, update.critic.second
        assert isinstance(first, MLP) and isinstance(second, MLP), "the published critics are plain"
        networks = {
            "encoder": encoder.network,
            "actor": update.agent.actor.network,
            "first": first,
            "second": second,
            "value": update.value.network,
            "target": update.target_value.network,
        }
        self.networks: dict[str, nn.Sequential] = {
            name: copy.deepcopy(network.layers) for name, network in networks.items()
        }
        self.optimisers = {
            name: torch.optim.Adam(network.parameters(), lr=self.config.learning_rate)
            for name, network in self.networks.items()
            if name != "target"
        }

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Updates every network once; noise is drawn in the order of `SacV1Update.step`."""
        config, networks = self.config, self.networks
        mean, raw = networks["encoder"](batch.context).chunk(2, dim=-1)
        variance = functional.softplus(raw).clamp(min=1e-7)
        posterior_variance = 1.0 / (1.0 / variance).sum(dim=1)
        posterior_mean = posterior_variance * (mean / variance).sum(dim=1)
        z = posterior_mean + posterior_variance.sqrt() * torch.randn(
            posterior_mean.shape, generator=generator
        )
        z = z.repeat_interleave(batch.observation.shape[1], dim=0)
        observation, action, following = (
            values.flatten(0, 1) for values in (batch.observation, batch.action, batch.next_observation)
        )
        reward, terminal = batch.reward.reshape(-1, 1), batch.terminal.reshape(-1, 1)

        divergence = (
            0.5 * (posterior_variance + posterior_mean**2 - 1.0 - torch.log(posterior_variance)).sum()
        )
        with torch.no_grad():
            bootstrap = networks["target"](torch.cat([following, z], dim=1))
        target = config.reward_scale * reward + (1.0 - terminal) * config.discount * bootstrap
        known = torch.cat([observation, action, z], dim=1)
        critic_loss = ((networks["first"](known) - target) ** 2).mean()
        critic_loss = critic_loss + ((networks["second"](known) - target) ** 2).mean()
        self._apply(critic_loss + config.kl_weight * divergence, "encoder", "first", "second")

        z = z.detach()
        policy_mean, log_std = networks["actor"](torch.cat([observation, z], dim=1)).chunk(2, dim=-1)
        log_std = log_std.clamp(-20.0, 2.0)
        noise = torch.randn(batch.action.shape, generator=generator).flatten(0, 1)
        fresh = torch.tanh(policy_mean + log_std.exp() * noise)
        log_prob = -0.5 * noise**2 - log_std - 0.5 * math.log(2.0 * math.pi)
        log_prob = (log_prob - torch.log(1.0 - fresh**2 + 1e-6)).sum(dim=1, keepdim=True)
        judged = torch.cat([observation, fresh, z], dim=1)
        smaller = torch.min(networks["first"](judged), networks["second"](judged))
        value = networks["value"](torch.cat([observation, z], dim=1))
        value_loss = ((value - (smaller - log_prob).detach()) ** 2).mean()
        self._apply(value_loss, "value")
        with torch.no_grad():
            for slow, newest in zip(
                networks["target"].parameters(), networks["value"].parameters(), strict=True
            ):
                slow.mul_(1.0 - config.target_rate).add_(config.target_rate * newest)
        actor_loss = (log_prob - smaller).mean() + 1e-3 * ((policy_mean**2).mean() + (log_std**2).mean())
        self._apply(actor_loss, "actor")
        return {
            "critic_loss": critic_loss.detach(),
            "value_loss": value_loss.detach(),
            "actor_loss": actor_loss.detach(),
            "kl_per_task": divergence.detach() / len(batch.context),
        }

    def _apply(self, loss: Tensor, *names: str) -> None:
        for name in names:
            self.optimisers[name].zero_grad()
        loss.backward()
        for name in names:
            self.optimisers[name].step()
