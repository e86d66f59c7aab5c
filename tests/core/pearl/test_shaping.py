# SPDX-License-Identifier: Apache-2.0
"""Potential-based shaping pays for progress and leaves what an episode is worth as it was, up to where it began."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from meta_rl_core.errors import ContractError, InvalidValueError
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.learner import Learner
from meta_rl_core.pearl.plans import CollectionConfig
from meta_rl_core.pearl.shaping import shape_rewards
from meta_rl_core.tasks import Array
from tests.core.pearl.test_collection import SMALL
from tests.helpers.toy_family import LineFamily

PLAN = CollectionConfig(2, False, 3, 1, 1, 0)


class NearLineFamily(LineFamily):
    """Resting earns the distance to the goal in every step, as the reward says."""

    def potential(self, observation: Array, tasks: Array) -> Array:
        return -np.abs(observation[..., 0] - tasks[..., 0])


def transitions(positions: list[float], terminal: float = 0.0) -> dict[str, torch.Tensor]:
    """One episode of one task along these positions, without any reward of its own."""
    line = torch.tensor(positions)[None, :, None]
    ends = torch.zeros(1, len(positions) - 1)
    ends[0, -1] = terminal
    return {
        "observation": line[:, :-1],
        "next_observation": line[:, 1:],
        "reward": torch.zeros(1, len(positions) - 1),
        "terminal": ends,
    }


def config(**settings: object) -> PearlConfig:
    return PearlConfig("line", collection=PLAN, **{**SMALL, **settings})  # type: ignore[arg-type]


def test_what_is_paid_is_the_discounted_potential_after_less_the_one_before() -> None:
    lived = transitions([0.0, 0.25, 0.5], terminal=1.0)
    shaped = shape_rewards(
        NearLineFamily(), lived, np.array([[1.0]]), config(discount=0.9, potential_weight=2.0)
    )
    # 2 (0.9 * -0.75 + 1) = 0.65; an end is worth nothing: 2 (0 + 0.75) = 1.5.
    np.testing.assert_allclose(shaped["reward"], [[0.65, 1.5]], rtol=1e-6)
    assert not lived["reward"].any()


def test_whatever_the_way_an_episode_is_paid_the_potential_of_its_ends_alone() -> None:
    settings = config(discount=0.9, potential_weight=1.0)
    generator = np.random.default_rng(0)
    for _ in range(20):
        way = [0.0, *generator.uniform(-1.0, 1.0, size=4), 0.5]
        paid = shape_rewards(NearLineFamily(), transitions(way), np.array([[1.0]]), settings)["reward"][0]
        # 0.9^5 * -0.5 + 1 from 0 to 0.5 with the goal at 1.
        assert float((0.9 ** np.arange(5)) @ paid.double().numpy()) == pytest.approx(0.704755, abs=1e-6)


def test_with_one_over_one_less_discount_resting_costs_nothing_and_a_step_is_paid_what_it_brings_nearer() -> (
    None
):
    lived = transitions([0.0, 0.0, 0.5])
    lived["reward"] = torch.tensor([[-1.0, -0.5]])  # the distance to the goal after the step
    shaped = shape_rewards(
        NearLineFamily(), lived, np.array([[1.0]]), config(discount=0.9, potential_weight=10.0)
    )
    # -0.5 + 10 (0.9 * -0.5 + 1) = 5 = 10 * 0.5.
    np.testing.assert_allclose(shaped["reward"], [[0.0, 5.0]], atol=1e-6)


@pytest.mark.parametrize("relabel", [False, True])
def test_batches_are_shaped_and_contexts_are_not(relabel: bool) -> None:
    settings = {"relabel": relabel, "method": "sac_v2", "discount": 0.9}
    plain, shaped = (
        Learner(NearLineFamily(), config(potential_weight=weight, **settings)) for weight in (0.0, 3.0)
    )
    batches = []
    for learner in (plain, shaped):
        learner.collect_initial()
        batches.append(learner.make_batch())
    np.testing.assert_array_equal(batches[0].context, batches[1].context)
    np.testing.assert_array_equal(batches[0].observation, batches[1].observation)
    assert not torch.allclose(batches[0].reward, batches[1].reward)


def test_a_family_without_a_potential_is_refused_before_a_run_begins() -> None:
    with pytest.raises(ContractError, match=r"'line' has no potential .* set potential_weight=0"):
        Learner(LineFamily(), config(potential_weight=1.0))
    with pytest.raises(InvalidValueError, match="potential_weight must not be negative, got -1"):
        config(potential_weight=-1.0)
