# SPDX-License-Identifier: Apache-2.0
"""Goals are replaced and bodies are not: observations and rewards follow, the motion stays as it was lived."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from meta_rl_core.errors import ContractError, InvalidValueError
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.goals import relabel_goals
from meta_rl_core.pearl.learner import Learner
from meta_rl_core.pearl.plans import CollectionConfig
from meta_rl_core.tasks import Array
from tests.helpers.toy_family import LineFamily


class ToldLineFamily(LineFamily):
    """The line again; the observation is the way to the goal."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = replace(self.spec, visible_task_names=("goal",))
        self.changes_dynamics = True

    def show_task(self, observation: Array, tasks: Array) -> Array:
        return np.broadcast_to(tasks, observation.shape).copy()


def transitions(rows: int, columns: int) -> dict[str, torch.Tensor]:
    """Positions 0 everywhere, rewards and observations that no goal would give."""
    one = torch.zeros((rows, columns, 1))
    return {
        "observation": one - 9.0,
        "next_observation": one - 9.0,
        "action": one,
        "signals": one,
        "reward": one[..., 0] - 9.0,
        "sparse_reward": one[..., 0] - 9.0,
        "terminal": one[..., 0],
    }


def test_a_share_gets_fresh_goals_with_their_rewards_and_the_rest_stays_as_lived() -> None:
    family, generator = ToldLineFamily(), np.random.default_rng(0)
    got = relabel_goals(family, transitions(4, 1000), np.full((4, 1), 5.0), 0.25, generator)
    changed = got["reward"] != -9.0
    assert changed.float().mean() == pytest.approx(0.25, abs=0.03)
    goals = got["observation"][..., 0]
    # The point stands at 0: the reward is minus the distance to a goal drawn from [-1, 1], never the lived 5.
    torch.testing.assert_close(got["reward"][changed], -goals[changed].abs())
    assert goals[changed].abs().max() <= 1.0
    assert (goals[~changed] == -9.0).all()
    torch.testing.assert_close(got["next_observation"], got["observation"])
    torch.testing.assert_close(got["signals"], torch.zeros((4, 1000, 1)))


def test_a_family_whose_observation_tells_nothing_refuses() -> None:
    with pytest.raises(ContractError, match="no goal to replace"):
        LineFamily().show_task(np.zeros((1, 1)), np.zeros((1, 1)))
    with pytest.raises(InvalidValueError, match="goal_relabel_share"):
        PearlConfig(
            "line", relabel=True, goal_relabel_share=0.5, collection=CollectionConfig(1, False, 1, 1, 1, 0)
        )


def test_the_transition_head_learns_where_bodies_move() -> None:
    config = PearlConfig(
        "line",
        method="sac_v2",
        transition_prediction_weight=10.0,
        goal_relabel_share=0.5,
        next_observation_in_context=True,
        meta_batch=4,
        batch_size=32,
        context_size=16,
        encoder_hidden=(16,),
        actor_hidden=(16,),
        critic_hidden=(16,),
        learning_rate=3e-3,
        collection=CollectionConfig(4, False, 2, 1, 2, 0),
    )
    learner = Learner(LineFamilyThatShowsItsPosition(), config)
    learner.collect_initial()
    losses = [float(learner.learn_once()["transition_loss"]) for _ in range(150)]
    assert np.mean(losses[-10:]) < 0.2 * np.mean(losses[:3])


class LineFamilyThatShowsItsPosition(ToldLineFamily):
    """Goals decide the reward alone, the observation stays the position."""

    def show_task(self, observation: Array, tasks: Array) -> Array:
        return observation.copy()
