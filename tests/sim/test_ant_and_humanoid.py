# SPDX-License-Identifier: Apache-2.0
"""Ant and humanoid families: tasks, rewards by hand, published returns, and contact forces that obey Newton."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from meta_rl_core.errors import ContractError
from meta_rl_core.families.locomotion_ant import AntDirectionReward, AntGoalReward
from meta_rl_core.families.locomotion_humanoid import HumanoidDirectionReward
from sim_bridge.locomotion.families import make_ant_dir, make_ant_goal, make_humanoid_dir
from sim_bridge.locomotion.worlds import LocomotionWorlds


def test_the_reward_of_an_ants_direction_by_hand() -> None:
    signals, actions = np.array([[0.6, 0.8, 10.0]] * 2), np.full((2, 8), 0.5)
    judged = AntDirectionReward().judge(signals, actions, np.array([[np.pi / 2], [np.pi]]))
    # Speeds 0.8 and -0.6; effort 0.5 * 8 * 0.25 = 1; contact 0.0005 * 10 = 0.005; alive 1.
    np.testing.assert_allclose(judged.reward, [0.795, -0.605], rtol=1e-12)
    np.testing.assert_allclose(judged.error, [0.2, 1.6], rtol=1e-12)
    assert AntDirectionReward().judge(np.zeros(3), np.zeros(8), np.zeros(1)).reward == 1.0


def test_the_reward_of_an_ants_goal_by_hand() -> None:
    judged = AntGoalReward().judge(np.array([1.0, -2.0, 4.0]), np.full(8, -1.0), np.array([0.7, -1.6]))
    # Offsets 0.3 and -0.4: 0.7 along the axes, 0.5 straight; effort 0.1 * 8; contact 0.0005 * 4.
    assert judged.reward == pytest.approx(-0.7 - 0.8 - 0.002)
    assert judged.error == pytest.approx(0.5)
    assert not judged.success


def test_the_reward_of_a_humanoids_direction_by_hand() -> None:
    signals = np.array([[2.0, 1.0, 1e6], [2.0, 1.0, 1e9]])
    judged = HumanoidDirectionReward().judge(signals, np.full((2, 17), 0.5), np.array([[0.0]]))
    # 1.25 * 2 = 2.5; control 0.2, so 0.1 * 17 * 0.04 = 0.068; impact 0.5, then at most 10; alive 5.
    np.testing.assert_allclose(judged.reward, [6.932, -2.568], rtol=1e-12)


def test_returns_of_bodies_that_stand_still_are_the_published_ones() -> None:
    goals = make_ant_goal().sample_tasks(40_000, np.random.default_rng(0))
    still = AntGoalReward().judge(np.zeros(3), np.zeros(8), goals).reward
    assert 200 * still.mean() == pytest.approx(-509, abs=3)  # mean |x| + |y| in a disc of radius 3 is 8 / pi
    assert 200 * HumanoidDirectionReward().judge(np.zeros(3), np.zeros(17), np.zeros(1)).reward == 1000.0
    assert 200 * AntDirectionReward().judge(np.zeros(3), np.zeros(8), np.zeros(1)).reward == 200.0


def test_goals_fill_the_disc_and_directions_the_circle() -> None:
    goals = make_ant_goal().sample_tasks(20_000, np.random.default_rng(1))
    radius = np.linalg.norm(goals, axis=1)
    assert radius.max() <= 3.0
    # Uniform in the disc: a quarter of the goals lies within half the radius.
    assert (radius < 1.5).mean() == pytest.approx(0.25, abs=0.01)
    assert make_ant_goal().training_tasks().shape == (150, 2)
    np.testing.assert_array_equal(make_ant_dir().training_tasks(), [[0.0], [np.pi]])
    directions = make_humanoid_dir().training_tasks()
    assert directions.shape == (100, 1)
    assert directions.min() >= 0.0 and directions.max() < 2.0 * np.pi


def test_the_ants_motors_have_the_published_gear() -> None:
    model = make_ant_dir().make_worlds(1).model
    np.testing.assert_array_equal(model.actuator_gear[:, 0], 150.0)
    assert (model.opt.timestep, model.opt.integrator) == (0.01, mujoco.mjtIntegrator.mjINT_RK4)


def settle(worlds: LocomotionWorlds, steps: int) -> None:
    """Steps without any action."""
    for _ in range(steps):
        step = worlds.step(np.zeros((worlds.count, worlds.model.nu)))
    assert not step.terminal.any()


def test_contact_forces_on_a_resting_ant_carry_its_weight() -> None:
    family = make_ant_goal()
    worlds = family.make_worlds(2, threads=2)
    worlds.reset(family.training_tasks()[:2], np.arange(2))
    settle(worlds, 80)
    forces = np.zeros((2, worlds.model.nbody, 6))

    def read(index: int, data: mujoco.MjData) -> None:
        forces[index] = data.cfrc_ext

    worlds.physics.read(np.zeros((2, 8)), np.arange(2), read)
    weight = 9.81 * worlds.model.body_mass.sum()
    np.testing.assert_allclose(forces[:, :, 5].sum(axis=1), weight, rtol=0.02)
    step = worlds.step(np.zeros((2, 8)))
    shown = step.observation[:, 29:].reshape(2, -1, 6)
    assert (np.abs(shown) <= 1.0).all()
    assert (shown != 0.0).any(axis=(1, 2)).all()
    np.testing.assert_allclose(step.signals[:, 2], np.square(shown).sum(axis=(1, 2)), rtol=1e-12)
    np.testing.assert_array_equal(step.observation[:, :2], step.signals[:, :2])


def test_the_ants_velocity_is_its_displacement_over_the_step() -> None:
    worlds = make_ant_dir().make_worlds(1)
    worlds.reset(np.zeros((1, 1)), np.array([2]))
    for action in np.random.default_rng(0).uniform(-1, 1, (5, 1, 8)):
        before = worlds.physics.position[0, :2].copy()
        step = worlds.step(action)
        np.testing.assert_allclose(
            step.signals[0, :2], (worlds.physics.position[0, :2] - before) / 0.05, rtol=1e-12
        )
    np.testing.assert_array_equal(step.observation[0, :13], worlds.physics.position[0, 2:])
    np.testing.assert_array_equal(step.observation[0, 13:], worlds.physics.velocity[0])


def test_the_humanoids_observation_holds_inertia_velocity_and_forces_of_every_body() -> None:
    worlds = make_humanoid_dir().make_worlds(2, threads=2)
    worlds.reset(np.zeros((2, 1)), np.arange(2))
    data, model = mujoco.MjData(worlds.model), worlds.model
    for action in np.random.default_rng(0).uniform(-1, 1, (12, 2, 17)):
        step = worlds.step(action)
    data.qpos[:], data.qvel[:] = worlds.physics.position[1], worlds.physics.velocity[1]
    data.ctrl[:] = 0.4 * action[1]
    mujoco.mj_forward(model, data)
    mujoco.mj_rnePostConstraint(model, data)
    np.testing.assert_array_equal(step.observation[1, :22], data.qpos[2:])
    np.testing.assert_array_equal(step.observation[1, 22:45], data.qvel)
    np.testing.assert_array_equal(step.observation[1, 45:185].reshape(14, 10), data.cinert)
    np.testing.assert_array_equal(step.observation[1, 185:269].reshape(14, 6), data.cvel)
    np.testing.assert_array_equal(step.observation[1, 269:292], data.qfrc_actuator)
    np.testing.assert_array_equal(step.observation[1, 292:].reshape(14, 6), data.cfrc_ext)
    assert step.signals[1, 2] == np.square(data.cfrc_ext).sum()
    assert step.signals[:, 2].max() > 0.0


def test_the_humanoids_velocity_is_that_of_its_centre_of_mass() -> None:
    worlds = make_humanoid_dir().make_worlds(1)
    worlds.reset(np.zeros((1, 1)), np.array([0]))

    def centre() -> np.ndarray:
        data = mujoco.MjData(worlds.model)
        data.qpos[:] = worlds.physics.position[0]
        mujoco.mj_kinematics(worlds.model, data)
        mujoco.mj_comPos(worlds.model, data)
        return np.average(data.xipos, axis=0, weights=worlds.model.body_mass)[:2]

    before = centre()
    step = worlds.step(np.full((1, 17), 0.7))
    np.testing.assert_allclose(step.signals[0, :2], (centre() - before) / 0.015, atol=1e-9)


def test_the_potential_of_ant_goal_is_the_reward_of_resting_where_the_ant_is() -> None:
    family = make_ant_goal()
    tasks = family.heldout_tasks(3, 5)
    worlds = family.make_worlds(3)
    worlds.reset(tasks, np.arange(3))
    seen = worlds.step(np.zeros((3, 8)))
    judged = family.reward_model.judge(seen.signals, np.zeros((3, 8)), tasks).reward
    resting = family.potential(seen.observation, tasks)
    np.testing.assert_allclose(resting, judged + 0.5e-3 * seen.signals[:, 2], atol=1e-6)
    with pytest.raises(ContractError, match="'ant-dir' has no potential"):
        make_ant_dir().potential(np.zeros((1, 27)), np.zeros((1, 1)))
