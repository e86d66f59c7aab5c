# SPDX-License-Identifier: Apache-2.0
"""Where the reward says what an action costs, critics need not learn it; what it says is held against the reward."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from meta_rl_core.errors import ContractError, InvalidValueError
from meta_rl_core.pearl.sac_v2 import SacV2Update
from meta_rl_core.registry import load_family, registered_names
from meta_rl_core.tasks import Array, Judgement
from tests.helpers.small_runs import RELABELLED, small_config, small_learner
from tests.helpers.toy_family import LineFamily, LineReward


class CostlyReward(LineReward):
    """The line's reward, less 0.3 a^2."""

    def judge(self, signals: Array, actions: Array, tasks: Array) -> Judgement:
        judged = super().judge(signals, actions, tasks)
        return judged._replace(reward=judged.reward - 0.3 * np.square(actions).sum(axis=-1))


class CostlyFamily(LineFamily):
    """Says that an action costs `told` times its square."""

    def __init__(self, told: float) -> None:
        super().__init__()
        self.spec = dataclasses.replace(self.spec, effort_weight=told)
        self.reward_model = CostlyReward()


KNOWN = {**RELABELLED, "known_effort": True, "reward_scale": 2.0}


def test_critics_take_the_scaled_cost_off_and_targets_do_as_well() -> None:
    update = small_learner(CostlyFamily(0.3), **KNOWN).update
    assert isinstance(update, SacV2Update) and update.target_critic is not None
    assert update.critic.effort_weight == update.target_critic.effort_weight == pytest.approx(0.6)
    plain = small_learner(CostlyFamily(0.3), **{**KNOWN, "known_effort": False}).update
    assert plain.critic.effort_weight == 0.0


def test_both_ways_the_same_values_are_learnt() -> None:
    made = small_learner(CostlyFamily(0.3), **KNOWN, critic_hidden=(32, 32), learning_rate=1e-2)
    made.collect_initial()
    batch = made.make_batch()
    batch = batch._replace(
        terminal=torch.ones_like(batch.terminal)
    )  # the value is the reward, effort and all
    for _ in range(400):
        losses = made.update.step(batch, made.torch_generator)
    assert float(losses["critic_loss"]) < 0.3 * float((2.0 * batch.reward).var())


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (LineFamily(), r"'line' tells no cost of effort \(effort_weight 0.0\); set known_effort=false"),
        (CostlyFamily(0.2), r"effort_weight of 0.2, .* cost 0.2, but in its reward they cost 0.3; mend it"),
    ],
)
def test_a_cost_that_is_not_told_or_not_true_is_refused(family: LineFamily, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        small_learner(family, **KNOWN)


def test_the_published_update_knows_none() -> None:
    with pytest.raises(InvalidValueError, match="known_effort needs method sac_v2, got sac_v1"):
        small_config(known_effort=True)


@pytest.mark.parametrize("name", registered_names("families"))
def test_every_family_tells_the_cost_that_its_reward_has(name: str) -> None:
    family = load_family(name)
    tasks = family.training_tasks()[:1]
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, size=(20, family.spec.action_dim))
    signals = np.random.default_rng(1).normal(size=(20, len(family.spec.signal_names)))
    judge = family.reward_model.judge
    cost = judge(signals, np.zeros_like(actions), tasks).reward - judge(signals, actions, tasks).reward
    wanted = family.spec.effort_weight * np.square(actions).sum(axis=1)
    np.testing.assert_allclose(cost, wanted, rtol=1e-6, atol=1e-9)
