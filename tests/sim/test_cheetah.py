# SPDX-License-Identifier: Apache-2.0
"""The half-cheetah families: published tasks, rewards by hand, the observation, the motion."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from meta_rl_core.families.locomotion_cheetah import CheetahDirectionReward, CheetahVelocityReward
from sim_bridge.locomotion.families import make_cheetah_dir, make_cheetah_vel


def test_the_reward_for_a_speed_is_minus_its_error_minus_effort() -> None:
    actions = np.array([[0.5, -0.5, 1.0, 0.0, 0.0, -2.0]])
    judged = CheetahVelocityReward().judge(np.array([[1.2]]), actions, np.array([[2.0]]))
    # |1.2 - 2.0| = 0.8; squares 0.25 + 0.25 + 1 + 1 (clipped) = 2.5, times 0.05 = 0.125.
    assert judged.reward[0] == pytest.approx(-0.925, abs=1e-12)
    assert judged.error[0] == pytest.approx(0.8)
    assert not judged.success[0]
    assert CheetahVelocityReward().judge(np.array([1.95]), np.zeros(6), np.array([2.0])).success


def test_the_reward_for_a_direction_is_the_speed_in_it_minus_effort() -> None:
    signals, actions = np.array([[-3.0], [-3.0], [0.25]]), np.full((3, 6), 0.5)
    judged = CheetahDirectionReward().judge(signals, actions, np.array([[-1.0], [1.0], [1.0]]))
    # Six squares of 0.25 times 0.05 = 0.075.
    np.testing.assert_allclose(judged.reward, [2.925, -3.075, 0.175], rtol=1e-12)
    np.testing.assert_allclose(judged.error, [0.0, 4.0, 0.75])
    np.testing.assert_array_equal(judged.success, [True, False, False])


def test_the_speeds_are_pearls_list_and_standing_still_scores_what_is_published() -> None:
    family = make_cheetah_vel()
    training, heldout = family.training_tasks(), family.heldout_tasks(30, seed=5)
    assert training.shape == (100, 1)
    assert training[0, 0] == pytest.approx(
        3.0 * 0.26202468, abs=1e-7
    )  # the first number of NumPy's seed 1337
    # The 30 published held-out speeds have the mean 1.418, so 200 steps at rest give -284.
    assert heldout.mean() == pytest.approx(1.418, abs=5e-4)
    still = family.reward_model.judge(np.zeros((200, 30, 1)), np.zeros((200, 30, 6)), heldout)
    assert still.reward.sum(axis=0).mean() == pytest.approx(-283.6, abs=0.1)
    assert ((training >= 0.0) & (training <= 3.0)).all()
    drawn = family.sample_tasks(1000, np.random.default_rng(0))
    assert 0.0 <= drawn.min() < 0.1 and 2.9 < drawn.max() <= 3.0


def test_both_directions_are_trained_on_and_evaluated_on() -> None:
    family = make_cheetah_dir()
    assert family.finite
    np.testing.assert_array_equal(family.training_tasks(), [[-1.0], [1.0]])
    assert sorted(family.heldout_tasks(4, 0)[:, 0]) == [-1.0, -1.0, 1.0, 1.0]


def test_the_observation_ends_with_the_place_of_the_torso() -> None:
    worlds = make_cheetah_vel().make_worlds(2)
    worlds.reset(np.ones((2, 1)), np.arange(2))
    for _ in range(5):
        step = worlds.step(np.random.default_rng(1).uniform(-1, 1, (2, 6)))
    data = mujoco.MjData(worlds.model)
    for world in range(2):
        data.qpos[:] = worlds.physics.position[world]
        data.qvel[:] = worlds.physics.velocity[world]
        mujoco.mj_forward(worlds.model, data)
        np.testing.assert_array_equal(step.observation[world, :8], data.qpos[1:])
        np.testing.assert_array_equal(step.observation[world, 8:17], data.qvel)
        np.testing.assert_allclose(step.observation[world, 17:], data.body("torso").xpos, rtol=0, atol=1e-12)
    assert not step.terminal.any()


def test_the_motion_is_that_of_plain_mujoco_stepping_five_times_ten_milliseconds() -> None:
    worlds = make_cheetah_vel().make_worlds(1)
    worlds.reset(np.ones((1, 1)), np.array([4]))
    data = mujoco.MjData(worlds.model)
    data.qpos[:], data.qvel[:] = worlds.physics.position[0], worlds.physics.velocity[0]
    generator = np.random.default_rng(3)
    for _ in range(10):
        action, before = generator.uniform(-1, 1, (1, 6)), data.qpos[0]
        step = worlds.step(action)
        data.ctrl[:] = action[0]
        mujoco.mj_step(worlds.model, data, 5)
        # Here the solver starts where it stopped, in the worlds cold: both stop within its tolerance.
        np.testing.assert_allclose(step.observation[0, :17], [*data.qpos[1:], *data.qvel], rtol=0, atol=1e-4)
        assert step.signals[0, 0] == pytest.approx((data.qpos[0] - before) / 0.05, abs=1e-4)


def test_the_start_is_the_models_pose_with_published_noise() -> None:
    worlds = make_cheetah_vel().make_worlds(500, threads=1)
    worlds.reset(np.ones((500, 1)), np.arange(500))
    assert np.abs(worlds.physics.position).max() <= 0.1
    assert worlds.physics.position.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.05)
    assert worlds.physics.velocity.std() == pytest.approx(0.1, rel=0.05)


def test_the_cheetah_weighs_what_its_file_says_and_loading_it_warns_of_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    model = make_cheetah_vel().make_worlds(1).model
    assert model.body_mass.sum() == pytest.approx(14.0, rel=1e-12)
    assert capfd.readouterr() == ("", "")
