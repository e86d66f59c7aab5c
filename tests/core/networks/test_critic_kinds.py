# SPDX-License-Identifier: Apache-2.0
"""Residual and batch-renormalised critics: what they compute, by hand, and what a fixed judge leaves alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from meta_rl_core.networks import batch_norm_mlp
from meta_rl_core.networks.batch_norm_mlp import BatchNormMLP, BatchRenorm
from meta_rl_core.networks.critic import TwinCritic
from meta_rl_core.networks.input_scale import RunningMoments, set_scales
from meta_rl_core.networks.residual_mlp import ResidualMLP

KINDS = ("plain", "simba", "batch_norm")


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def critic(kind: str, **settings: Any) -> TwinCritic:
    return TwinCritic(3, 2, 1, (16, 16), generator=generator(), kind=kind, **settings)


def inputs(rows: int = 40) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return tuple(torch.randn(2, rows, size, generator=generator()) for size in (3, 2, 1))  # type: ignore[return-value]


def test_a_residual_block_adds_to_what_it_is_given() -> None:
    network = ResidualMLP(1, 2, 1, 1, generator=generator())
    with torch.no_grad():
        network.first.weight.copy_(torch.tensor([[1.0], [3.0]]))
        network.widening[0].weight.zero_()
        network.widening[0].bias.fill_(2.0)
        network.narrowing[0].weight.copy_(torch.tensor([[0.25] * 8, [-0.5] * 8]))
        network.last.weight.copy_(torch.tensor([[10.0, 1.0]]))
        network.last.bias.fill_(0.5)
    # At 1 the stream is (1, 3); the block adds 8 * 0.25 * 2 = 4 and 8 * -0.5 * 2 = -8, which makes (5, -5); normalised
    # that is (1, -1), and 10 - 1 + 0.5 = 9.5.
    assert network(torch.ones(1, 1)).item() == pytest.approx(9.5, abs=1e-4)


def test_a_residual_network_begins_close_to_one_without_blocks() -> None:
    network = ResidualMLP(4, 32, 3, 1, generator=generator())
    rows = torch.randn(50, 4, generator=generator())
    with torch.no_grad():
        without = network.last(network.last_norm(network.first(rows)))
        assert (network(rows) - without).norm() < 0.3 * without.norm()


def test_a_batch_is_normalised_by_itself_while_running_statistics_are_young() -> None:
    norm = BatchRenorm(1)
    rows = torch.tensor([[1.0], [3.0], [5.0], [7.0]])
    # Mean 4, variance 5.
    wanted = (rows - 4.0) / (5.0 + batch_norm_mlp.EPSILON) ** 0.5
    assert torch.allclose(norm(rows), wanted)
    assert norm.mean.item() == pytest.approx(0.04)
    assert norm.std.item() == pytest.approx(0.99 + 0.01 * (5.0 + batch_norm_mlp.EPSILON) ** 0.5)
    assert norm.batches.item() == 1.0


def test_a_batch_is_taken_to_the_running_statistics_once_they_are_settled() -> None:
    norm = BatchRenorm(1)
    norm.batches.fill_(batch_norm_mlp.WARM_UP)
    norm.mean.fill_(3.0)
    norm.std.fill_(2.0)
    rows = torch.tensor([[1.0], [3.0], [5.0], [7.0]])
    # Within the bounds both corrections together are the running statistics' own normalisation.
    assert torch.allclose(norm(rows), (rows - 3.0) / 2.0, atol=1e-5)


def test_no_batch_is_taken_further_than_the_bounds() -> None:
    norm = BatchRenorm(1)
    norm.batches.fill_(batch_norm_mlp.WARM_UP)
    norm.std.fill_(0.01)
    norm.mean.fill_(-100.0)
    rows = torch.tensor([[1.0], [3.0], [5.0], [7.0]])
    normalised = (rows - 4.0) / (5.0 + batch_norm_mlp.EPSILON) ** 0.5
    assert torch.allclose(norm(rows), 3.0 * normalised + 5.0)


def test_a_judge_goes_by_running_statistics_and_learns_nothing_from_being_asked() -> None:
    network = BatchNormMLP(3, (8,), 1, generator=generator())
    rows = torch.randn(30, 3, generator=generator(), requires_grad=True)
    network(rows)  # moves the running statistics
    before = {name: value.clone() for name, value in network.state_dict().items()}
    together, alone = network(rows, fixed=True), network(rows[:1], fixed=True)
    assert torch.allclose(together[:1], alone, atol=1e-6)
    together.sum().backward()
    assert rows.grad is not None and rows.grad.abs().sum() > 0.0
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_fixed_critics_give_gradients_to_actions_and_none_to_weights(kind: str) -> None:
    network = critic(kind)
    observation, action, z = inputs()
    action.requires_grad_()
    network.smaller(observation, action, z, fixed=True).sum().backward()
    assert action.grad is not None and action.grad.abs().sum() > 0.0
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_action_costs_by_itself_is_taken_off_both_values_and_felt_by_the_actor(kind: str) -> None:
    plain, knowing = critic(kind), critic(kind, effort_weight=0.25)
    observation, action, z = inputs()
    for got, rest in zip(knowing(observation, action, z), plain(observation, action, z), strict=True):
        assert torch.allclose(got, rest - 0.25 * (action[..., 0] ** 2 + action[..., 1] ** 2), atol=1e-6)
    action.requires_grad_()
    slopes = [
        torch.autograd.grad(one(observation, action, z, fixed=True)[0].sum(), action)[0]
        for one in (knowing, plain)
    ]
    assert torch.allclose(slopes[0], slopes[1] - 0.5 * action, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_of_a_critic_learns(kind: str) -> None:
    network = critic(kind)
    first, second = network(*inputs())
    ((first - 1.0).square() + (second - 1.0).square()).mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_scaled_critics_see_observations_on_the_scale_of_those_seen(kind: str) -> None:
    plain, scaled = critic(kind), critic(kind, scaled=True)
    moments = RunningMoments(3)
    moments.add((5.0 + 100.0 * torch.randn(400, 3, generator=generator())).double().numpy())
    set_scales(scaled, moments)
    observation, action, z = inputs()
    mean, scale = (torch.as_tensor(part, dtype=torch.float32) for part in (moments.mean, moments.scale))
    for got, wanted in zip(
        scaled(observation, action, z), plain((observation - mean) * scale, action, z), strict=True
    ):
        assert torch.allclose(got, wanted, atol=1e-5)
