# SPDX-License-Identifier: Apache-2.0
"""The published update keeps every point that is easily got wrong."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from meta_rl_core.networks.encoder import (
    aggregate_kl,
    kl_between,
    kl_to_standard_normal,
    product_of_gaussians,
)
from meta_rl_core.pearl.agent import Agent
from meta_rl_core.pearl.batch import Batch
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.sac_v1 import SacV1Update
from meta_rl_core.tasks import FamilySpec

SPEC = FamilySpec("toy", 4, 2, ("s",), ("goal",), 10, None, "dense")
TASKS, ROWS, CONTEXT = 3, 8, 6


def make_update(**settings: object) -> SacV1Update:
    config = PearlConfig("toy", actor_hidden=(16,), critic_hidden=(16,), encoder_hidden=(16,), **settings)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    return SacV1Update(SPEC, config, Agent(SPEC, config, generator), generator)


def make_batch(terminal: float = 0.0) -> Batch:
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return Batch(
        normal(TASKS, ROWS, 4),
        normal(TASKS, ROWS, 2).tanh(),
        normal(TASKS, ROWS),
        normal(TASKS, ROWS, 4),
        torch.full((TASKS, ROWS), terminal),
        normal(TASKS, CONTEXT, 7),
    )


def weights(module: torch.nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def unchanged(module: torch.nn.Module, before: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(module.parameters(), before, strict=True))


def cut_z_from_critics(update: SacV1Update) -> None:
    with torch.no_grad():
        for network in (update.critic.first, update.critic.second):
            network.layers[0].weight[:, -update.config.latent_dim :] = 0.0


def test_the_encoder_learns_from_the_bellman_loss() -> None:
    update = make_update(kl_weight=0.0)
    before = weights(update.agent.encoder)
    update.step(make_batch(), torch.Generator().manual_seed(2))
    assert not unchanged(update.agent.encoder, before)


def test_without_bellman_gradient_and_bottleneck_no_other_loss_reaches_the_encoder() -> None:
    # Actor and V still depend on z; a leak through them would move the encoder.
    update = make_update(kl_weight=0.0)
    cut_z_from_critics(update)
    before = weights(update.agent.encoder)
    update.step(make_batch(), torch.Generator().manual_seed(2))
    assert unchanged(update.agent.encoder, before)


def test_the_bottleneck_alone_moves_the_encoder() -> None:
    update = make_update(kl_weight=0.1)
    cut_z_from_critics(update)
    before = weights(update.agent.encoder)
    update.step(make_batch(), torch.Generator().manual_seed(2))
    assert not unchanged(update.agent.encoder, before)


def test_the_divergence_is_summed_over_tasks_and_dimensions() -> None:
    # KL(N(1, 1) || N(0, 1)) = 0.5 per dimension; 2 tasks x 3 dimensions = 3 nat.
    assert float(kl_to_standard_normal(torch.ones(2, 3), torch.ones(2, 3))) == pytest.approx(3.0)


def test_the_posterior_is_the_product_of_the_factors_without_the_prior() -> None:
    mean, variance = torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[0.5], [0.25]]])
    product_mean, product_variance = product_of_gaussians(mean, variance, prior_in_product=False)
    assert float(product_variance) == pytest.approx(1 / 6)
    assert float(product_mean) == pytest.approx(7 / 3)
    # The prior as one more factor: precision 7, mean 14 / 7.
    assert float(product_of_gaussians(mean, variance, prior_in_product=True)[0]) == pytest.approx(2.0)


def test_the_order_of_the_context_does_not_matter() -> None:
    agent = make_update().agent
    context = make_batch().context
    shuffled = context[:, torch.randperm(CONTEXT, generator=torch.Generator().manual_seed(3))]
    for a, b in zip(agent.posterior(context), agent.posterior(shuffled), strict=True):
        torch.testing.assert_close(a, b)


def test_reward_scale_touches_the_bellman_target_and_never_the_context() -> None:
    small, large = make_update(reward_scale=1.0), make_update(reward_scale=100.0)
    observation, action, reward = torch.zeros(1, 1, 4), torch.zeros(1, 1, 2), torch.full((1, 1), 7.0)
    encoded = [u.agent.encode_context(observation, action, reward, observation) for u in (small, large)]
    assert torch.equal(encoded[0], encoded[1])
    assert float(encoded[0][0, 0, -1]) == 7.0


def test_the_bellman_target_is_scaled_reward_plus_discounted_value_unless_it_really_ended() -> None:
    update = make_update(reward_scale=5.0, discount=0.9)
    with torch.no_grad():
        for network, constant in (
            (update.critic.first, 0.0),
            (update.critic.second, 0.0),
            (update.target_value.network, 2.0),
        ):
            network.layers[-1].weight.zero_()
            network.layers[-1].bias.fill_(constant)
    z = torch.zeros(TASKS, ROWS, 5)
    batch = make_batch(terminal=0.0)._replace(reward=torch.ones(TASKS, ROWS))
    # Both critics say 0: loss = 2 * (5*1 + 0.9*2)^2 = 2 * 6.8^2; after a fall 2 * 5^2.
    assert float(update._critic_loss(batch, z).detach()) == pytest.approx(2 * 6.8**2, rel=1e-5)
    fallen = batch._replace(terminal=torch.ones(TASKS, ROWS))
    assert float(update._critic_loss(fallen, z).detach()) == pytest.approx(2 * 25.0, rel=1e-5)


def test_the_actor_step_leaves_the_critics_alone() -> None:
    update = make_update()
    batch = make_batch()
    before = weights(update.critic)
    update._actor_and_value_step(batch, torch.zeros(TASKS, ROWS, 5), torch.zeros(batch.action.shape))
    assert unchanged(update.critic, before)


def test_the_target_value_follows_slowly() -> None:
    update = make_update(target_rate=0.005)
    old = copy.deepcopy(update.target_value)
    update.step(make_batch(), torch.Generator().manual_seed(2))
    for target, before, source in zip(
        update.target_value.parameters(), old.parameters(), update.value.parameters(), strict=True
    ):
        torch.testing.assert_close(target, 0.995 * before + 0.005 * source)


def test_the_same_seed_gives_the_same_bits() -> None:
    results = []
    for _ in range(2):
        update = make_update()
        generator = torch.Generator().manual_seed(9)
        for _ in range(3):
            update.step(make_batch(), generator)
        results.append(weights(update))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_posteriors_that_together_look_like_the_prior_cost_nothing() -> None:
    # Four tasks at -1 and +1 with no spread of their own: mean 0, variance 1, like N(0, 1).
    mean = torch.tensor([[-1.0], [1.0], [-1.0], [1.0]])
    assert float(aggregate_kl(mean, torch.zeros(4, 1))) == pytest.approx(0.0)
    # All at 1 with variance 0.5: 0.5 * (0.5 + 1 - 1 - ln 0.5).
    assert float(aggregate_kl(torch.ones(4, 1), torch.full((4, 1), 0.5))) == pytest.approx(0.596574, abs=1e-6)
    # Two dimensions that say the same: covariance [[1, 0.9], [0.9, 1]], so 0.5 * -ln(1 - 0.81).
    twins = math.sqrt(0.9) * mean.expand(-1, 2)
    assert float(aggregate_kl(twins, torch.full((4, 2), 0.1))) == pytest.approx(0.830366, abs=1e-5)


def test_the_divergence_between_two_posteriors_is_the_closed_form_and_punishes_false_certainty() -> None:
    # KL(N(0, 1) || N(1, 4)) = 0.5 * (1/4 + 1/4 - 1 + ln 4)
    one, zero = torch.ones(1, 1), torch.zeros(1, 1)
    assert float(kl_between(zero, one, one, 4 * one)) == pytest.approx(0.443147, abs=1e-6)
    assert float(kl_between(zero, one, zero, one)) == pytest.approx(0.0)
    assert float(kl_between(one, 0.01 * one, zero, 0.01 * one)) > float(
        kl_between(one, 0.01 * one, zero, one)
    )
