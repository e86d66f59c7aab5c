# SPDX-License-Identifier: Apache-2.0
"""A finished policy learns to tell that its task has changed, and stays the policy it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from meta_rl_core.bundle import Bundle, load_bundle, write_bundle
from meta_rl_core.cli.main import main
from meta_rl_core.errors import ContractError, InvalidValueError
from meta_rl_core.pearl.change_fit import ChangeFit, calibrated, false_alarms, learn
from meta_rl_core.pearl.lives import joined, live_many
from meta_rl_core.runtime.adapter import Adapter
from tests.helpers.bundles import add_change_network, make_random_bundle, random_parts_of
from tests.helpers.toy_family import LineFamily, LineReward

FAMILY = LineFamily(horizon=5)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    directory = tmp_path_factory.mktemp("line") / "policy"
    parts = random_parts_of(FAMILY.spec, LineReward(), prior_in_product=True, reward_scale_in_context=1.0)
    return write_bundle(directory, *parts)


def test_what_lives_believe_is_what_an_adapter_makes_of_their_transitions(policy: Bundle) -> None:
    lives = joined(live_many(policy, FAMILY, FAMILY.heldout_tasks(3, 1), 4, seed=2))
    assert lives.reward.shape == (3, 4 * 5)
    for robot in range(3):
        adapter = Adapter(policy, seed=0)
        for step in range(20):
            before = lives.belief(robot, step)
            np.testing.assert_allclose(before.mean, adapter.belief.mean, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(before.variance, adapter.belief.variance, rtol=1e-9)
            mean, variance = lives.mean_and_variance(np.array([robot]), np.array([step]))
            np.testing.assert_allclose(mean[0], before.mean, rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(variance[0], before.variance, rtol=1e-12)
            adapter.observe(lives.transition(robot, step))


def test_the_same_seed_learns_the_same_network_and_it_tells_another_task_by_its_reward(
    policy: Bundle,
) -> None:
    lives = joined(live_many(policy, FAMILY, FAMILY.sample_tasks(60, np.random.default_rng(3)), 4, seed=3))
    lives.precision[:] = 99.0
    lives.precision_mean[:] = (
        100.0 * lives.tasks[:, np.newaxis]
    )  # with the prior: the belief's mean is the goal
    settings = ChangeFit(seed=4, updates=200, batch_size=256, learning_rate=1e-2, hidden=(32, 32))
    network, losses = learn(policy, FAMILY, lives, settings)
    again, _ = learn(policy, FAMILY, lives, settings)
    for one, other in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    assert losses[0] > 0.9 * np.log(2.0) > 2.0 * losses[-1]


def test_worlds_that_end_early_and_tasks_that_change_the_motion_are_refused(policy: Bundle) -> None:
    with pytest.raises(ContractError, match="end before the horizon"):
        live_many(policy, LineFamily(edge=1e-6), FAMILY.heldout_tasks(3, 1), 4, seed=2)
    moving = LineFamily()
    moving.changes_dynamics = True
    with pytest.raises(ContractError, match="rewarded under another task"):
        live_many(policy, moving, FAMILY.heldout_tasks(3, 1), 4, seed=2)
    with pytest.raises(InvalidValueError, match="at least 1"):
        ChangeFit(tasks=0)


@pytest.mark.parametrize(
    ("per_hour", "alarm"),
    [
        (0.0, 33.0),  # none of the three may be an alarm
        (0.34, 22.0),  # one in three hours may
        (0.67, 11.0),
        (1.0, 6.0),  # all three may: the lowest evidence that was looked at
    ],
)
def test_the_alarm_is_a_tenth_above_the_evidence_that_too_many_false_alarms_had(
    per_hour: float, alarm: float
) -> None:
    assert calibrated([30.0, 20.0, 10.0], 3.0, per_hour) == alarm


def test_each_doubt_counts_as_one_false_alarm_with_its_greatest_strength(tmp_path: Path) -> None:
    # Horizon 30, all actions and positions count for nothing: the log odds are 2 |reward - mean| - 1.
    family = LineFamily(horizon=30)
    parts = random_parts_of(family.spec, LineReward(), reward_scale_in_context=1.0)
    bundle = write_bundle(tmp_path / "policy", *add_change_network(*parts, 5.0))
    (lives,) = live_many(bundle, family, np.array([[0.0]]), 2, seed=0)
    lives.precision[:], lives.precision_mean[:] = 1.0, 0.0
    lives.reward[0, :25] = 0.0
    lives.reward[0, 25:29] = 5.0  # four times 4 - 0.1 nat; what was before fits with 25 * 1
    lives.reward[0, 29:] = 0.0
    assert false_alarms(bundle, lives, 5.0) == [pytest.approx(4 * 3.9)]
    assert false_alarms(bundle, lives, 15.7) == []


def test_the_command_adds_the_network_and_leaves_actor_and_encoder_to_the_bit(tmp_path: Path) -> None:
    before = make_random_bundle(tmp_path / "policy", "point-robot", next_observation_in_context=True)
    arguments = ["fit-change", str(before.path), "--tasks", "3", "--updates", "3", "--hours", "0.02"]
    first = CliRunner().invoke(main, arguments, prog_name="pitaya")
    assert first.exit_code == 0, first.output
    after = load_bundle(before.path)
    assert after.hash != before.hash
    assert after.manifest.change_alarm >= 5.0
    for name, value in before.weights.items():
        assert after.weights[name].tobytes() == value.tobytes()
    # Once more replaces the network and changes nothing else.
    assert CliRunner().invoke(main, arguments, prog_name="pitaya").exit_code == 0
    assert load_bundle(before.path).hash == after.hash
