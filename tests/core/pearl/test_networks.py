# SPDX-License-Identifier: Apache-2.0
"""Networks begin as in the published code and keep to its bounds."""

from __future__ import annotations

import math

import pytest
import torch

from meta_rl_core.networks.actor import Actor
from meta_rl_core.networks.encoder import Encoder, product_of_gaussians
from meta_rl_core.networks.mlp import MLP
from meta_rl_core.pearl.agent import Agent
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.sac_v1 import SacV1Update
from meta_rl_core.tasks import FamilySpec

SPEC = FamilySpec("toy", 4, 2, ("s",), ("goal",), 10, None, "dense")
# Width of the hidden layers and bound of the last one.
NETWORKS = {
    "agent.encoder.network": (200, 3e-3),
    "agent.actor.network": (300, 1e-3),
    "critic.first": (300, 3e-3),
    "critic.second": (300, 3e-3),
    "value.network": (300, 3e-3),
}


@pytest.fixture(scope="module")
def update() -> SacV1Update:
    """Networks of the published sizes, as they begin."""
    config, generator = PearlConfig("toy"), torch.Generator().manual_seed(0)
    return SacV1Update(SPEC, config, Agent(SPEC, config, generator), generator)


def assert_uniform(values: torch.Tensor, bound: float) -> None:
    """Uniform on +-bound: nothing beyond, something near it, and half of it on average."""
    size = values.detach().abs()
    assert 0.95 * bound < float(size.max()) <= bound
    assert float(size.mean()) == pytest.approx(0.5 * bound, rel=0.1)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_begin_uniform_and_hidden_biases_at_a_tenth(update: SacV1Update, name: str) -> None:
    width, last_bound = NETWORKS[name]
    network = update.get_submodule(name)
    assert isinstance(network, MLP)
    *hidden, last = [layer for layer in network.layers if isinstance(layer, torch.nn.Linear)]
    assert [layer.out_features for layer in hidden] == [width] * 3
    for layer in hidden:
        # The published code takes the width of the layer itself, not the number of its inputs.
        assert_uniform(layer.weight, 1.0 / math.sqrt(width))
        assert (layer.bias == 0.1).all()
    assert_uniform(last.weight, last_bound)
    assert 0.0 < float(last.bias.detach().abs().max()) <= last_bound


def test_both_critics_begin_different_and_the_target_like_its_source(update: SacV1Update) -> None:
    assert not torch.equal(update.critic.first.layers[0].weight, update.critic.second.layers[0].weight)
    for target, source in zip(update.target_value.parameters(), update.value.parameters(), strict=True):
        assert torch.equal(target, source)


@pytest.mark.parametrize(
    ("raw", "bounded"), [(1e3, 2.0), (2.5, 2.0), (1.5, 1.5), (-19.5, -19.5), (-1e3, -20.0)]
)
def test_the_log_standard_deviation_of_actions_stays_within_its_bounds(raw: float, bounded: float) -> None:
    actor = Actor(4, 5, 1, (8,), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        actor.network.layers[-1].weight.zero_()
        actor.network.layers[-1].bias.copy_(torch.tensor([0.0, raw]))
    assert actor(torch.zeros(1, 4), torch.zeros(1, 5))[1].item() == bounded
    noise = torch.ones(1, 1)
    sample = actor.sample(torch.zeros(1, 4), torch.zeros(1, 5), noise)
    assert sample.log_std.item() == bounded
    assert sample.action.item() == pytest.approx(math.tanh(math.exp(bounded)))


def test_the_variance_of_a_factor_never_falls_below_its_floor() -> None:
    encoder = Encoder(3, 1, (8,), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        encoder.network.layers[-1].weight.zero_()
        encoder.network.layers[-1].bias.copy_(torch.tensor([0.5, -1e3]))
    mean, variance = encoder(torch.zeros(1, 4, 3))
    # softplus(-1000) is 0 in float32: a product of such factors would be infinitely sharp.
    assert variance.flatten().tolist() == pytest.approx([1e-7] * 4, rel=1e-5, abs=0.0)
    product_mean, product_variance = product_of_gaussians(mean, variance, prior_in_product=False)
    assert product_mean.item() == pytest.approx(0.5)
    assert product_variance.item() == pytest.approx(2.5e-8, rel=1e-5, abs=0.0)


def test_a_factor_that_says_nothing_begins_as_broad_as_published() -> None:
    encoder = Encoder(3, 1, (8,), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        encoder.network.layers[-1].weight.zero_()
        encoder.network.layers[-1].bias.zero_()
    # softplus(0) = ln 2
    assert encoder(torch.zeros(1, 1, 3))[1].item() == pytest.approx(math.log(2.0))
