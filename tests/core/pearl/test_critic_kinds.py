# SPDX-License-Identifier: Apache-2.0
"""Updates with other critics than the preset's: they find values, and checkpoints and settings know them."""

from __future__ import annotations

import pytest
import torch

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.learner import Learner
from meta_rl_core.pearl.sac_v2 import SacV2Update
from tests.helpers.small_runs import RELABELLED, small_learner

KINDS = ("plain", "simba", "batch_norm")


def learner(kind: str, **settings: object) -> Learner:
    made = small_learner(**{**RELABELLED, "critic_kind": kind, "critic_hidden": (32, 32), **settings})
    made.collect_initial()
    return made


def sac(made: Learner) -> SacV2Update:
    assert isinstance(made.update, SacV2Update)
    return made.update


@pytest.mark.parametrize("kind", KINDS)
def test_where_every_step_is_the_last_the_value_becomes_the_reward(kind: str) -> None:
    made = learner(kind, learning_rate=1e-2, reward_scale=2.0)
    batch = made.make_batch()
    batch = batch._replace(terminal=torch.ones_like(batch.terminal))
    update = sac(made)
    for _ in range(400):
        losses = update.step(batch, made.torch_generator)
    # Two critics that always said the mean would lose twice the variance.
    assert float(losses["critic_loss"]) < 0.3 * float((2.0 * batch.reward).var())


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_what_follows_give_no_gradient(kind: str) -> None:
    made = learner(kind)
    batch = made.make_batch()
    z = torch.zeros(*batch.action.shape[:2], made.config.latent_dim, requires_grad=True)
    first, _, bootstrap = sac(made)._values(batch, z, batch.action)
    assert first.requires_grad and not bootstrap.requires_grad
    assert first.shape == bootstrap.shape == batch.reward.shape


def test_without_target_critics_what_follows_is_judged_by_the_critics_themselves() -> None:
    made = learner("batch_norm")
    update, batch = sac(made), made.make_batch()
    assert update.target_critic is None
    assert not [name for name in update.state_dict() if name.startswith("target")]
    z = torch.zeros(*batch.action.shape[:2], made.config.latent_dim)
    # Twice the same row in a batch has twice the same value, whatever the statistics.
    same = batch._replace(next_observation=batch.observation)
    first, second, bootstrap = update._values(same, z, batch.action)
    assert torch.allclose(torch.minimum(first, second), bootstrap, atol=1e-6)


def test_residual_critics_have_targets_that_follow_slowly() -> None:
    made = learner("simba", target_rate=0.25)
    update = sac(made)
    assert update.target_critic is not None
    before = update.target_critic.first.last.weight.clone()  # type: ignore[union-attr]
    update.step(made.make_batch(), made.torch_generator)
    moved = update.target_critic.first.last.weight  # type: ignore[union-attr]
    newest = update.critic.first.last.weight  # type: ignore[union-attr]
    assert torch.allclose(moved, 0.75 * before + 0.25 * newest, atol=1e-7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"critic_kind": "cubic"}, "critic_kind must be one of plain, simba, batch_norm, got 'cubic'"),
        ({"critic_kind": "simba"}, "critic_kind 'simba' needs method sac_v2, got sac_v1"),
        ({"critic_kind": "batch_norm"}, "critic_kind 'batch_norm' needs method sac_v2, got sac_v1"),
        (
            {"critic_kind": "simba", "method": "sac_v2", "critic_hidden": (64, 32)},
            r"must be the same for all, got \[64, 32\]",
        ),
        (
            {"critic_kind": "batch_norm", "method": "sac_v2", "critic_hidden": ()},
            "needs widths in critic_hidden, got none",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        PearlConfig("line", **settings)  # type: ignore[arg-type]
