# SPDX-License-Identifier: Apache-2.0
"""Point robots: rewards worked by hand, the published tasks, and returns of a robot that knows its goal."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from meta_rl_core.families.point_robot import PointRobotReward, make_robot
from meta_rl_core.tasks import TaskFamily
from sim_bridge.plant import Plant
from sim_bridge.point.families import PointRobotFamily, SparsePointRobotFamily
from sim_bridge.point.plant import PointPlant, SparsePointPlant
from sim_bridge.seeding import episode_seed

Array = NDArray[np.float64]


def greedy_returns(family: TaskFamily, goals: Array, seeds: NDArray[np.int64]) -> tuple[float, float]:
    """Mean dense and sparse return of a robot that always moves straight towards the goal on both axes."""
    worlds = family.make_worlds(len(goals))
    position = worlds.reset(goals, seeds)
    dense = sparse = 0.0
    for _ in range(family.spec.horizon):
        actions = np.clip((goals - position) / 0.1, -1.0, 1.0)
        step = worlds.step(actions)
        judgement = family.reward_model.judge(step.signals, actions, goals)
        dense, sparse = dense + judgement.reward.mean(), sparse + judgement.sparse_reward.mean()
        position = step.observation
    return dense, sparse


def test_greedy_return_on_point_robot_is_the_published_minus_4_6() -> None:
    # The starts are random, so average over 200 of them per goal (standard error about 0.03).
    family = PointRobotFamily()
    goals = np.tile(family.heldout_tasks(20, 0), (200, 1))
    dense, _ = greedy_returns(family, goals, np.arange(4000))
    assert dense == pytest.approx(-4.6, abs=0.1)


def test_greedy_return_on_any_goal_of_the_square_is_minus_5_2() -> None:
    # The listed held-out goals lie nearer to the middle than most. Standard error about 0.05.
    family = PointRobotFamily()
    goals = family.sample_tasks(8000, np.random.Generator(np.random.PCG64(0)))
    dense, _ = greedy_returns(family, goals, np.arange(8000))
    assert dense == pytest.approx(-5.2, abs=0.15)


def test_greedy_returns_on_sparse_point_robot_are_the_published_13_4_and_minus_3_9() -> None:
    family = SparsePointRobotFamily()
    dense, sparse = greedy_returns(family, family.heldout_tasks(20, 0), np.arange(20))
    assert sparse == pytest.approx(13.4, abs=0.05)
    assert dense == pytest.approx(-3.9, abs=0.05)


def test_rewards_worked_by_hand() -> None:
    # 3-4-5 triangle scaled by 0.1: distance 0.5, outside the goal; then 0.1 inside; then on the spot.
    signals = np.array([[0.3, 0.4], [1.0, 0.1], [1.0, 0.0]])
    goals = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    judged = PointRobotReward().judge(signals, np.zeros((3, 2)), goals)
    np.testing.assert_allclose(judged.reward, [-0.5, -0.1, 0.0], atol=1e-15)
    np.testing.assert_allclose(judged.sparse_reward, [0.0, 0.9, 1.0], atol=1e-15)
    np.testing.assert_allclose(judged.error, [0.5, 0.1, 0.0], atol=1e-15)
    np.testing.assert_array_equal(judged.success, [False, True, True])


def test_sparse_goals_lie_on_the_upper_half_circle_and_cover_it() -> None:
    family = SparsePointRobotFamily()
    goals = np.concatenate([family.training_tasks(), family.heldout_tasks(20, 3)])
    np.testing.assert_allclose(np.linalg.norm(goals, axis=1), 1.0)
    angles = np.sort(np.arctan2(goals[:, 1], goals[:, 0]))
    np.testing.assert_allclose(angles, np.linspace(0, np.pi, 100), atol=1e-9)


@pytest.mark.parametrize("family", [PointRobotFamily(), SparsePointRobotFamily()])
def test_twenty_heldout_goals_are_the_listed_ones_and_more_are_fresh(family: TaskFamily) -> None:
    twenty = {tuple(goal) for goal in family.heldout_tasks(20, 0)}
    assert twenty == {tuple(goal) for goal in family.heldout_tasks(20, 99)}
    fifty = family.heldout_tasks(50, 0)
    assert {tuple(goal) for goal in fifty[:20]} == twenty
    assert len({tuple(goal) for goal in fifty}) == 50
    np.testing.assert_array_equal(family.heldout_tasks(30, 0), fifty[:30])


def test_sparse_episodes_start_at_the_origin_and_dense_ones_all_over_the_square() -> None:
    seeds = np.arange(500)
    goals = np.zeros((500, 2))
    np.testing.assert_array_equal(SparsePointRobotFamily().make_worlds(500).reset(goals, seeds), 0.0)
    starts = PointRobotFamily().make_worlds(500).reset(goals, seeds)
    assert np.abs(starts).max() <= 1.0
    assert (np.abs(starts.mean(axis=0)) < 0.1).all()


def test_an_action_moves_by_a_tenth_of_a_metre_at_most() -> None:
    worlds = SparsePointRobotFamily().make_worlds(1)
    worlds.reset(np.zeros((1, 2)), np.array([0]))
    np.testing.assert_allclose(worlds.step(np.array([[0.5, -7.0]])).observation, [[0.05, -0.1]])


@pytest.mark.parametrize(
    ("plant_type", "family"), [(PointPlant, PointRobotFamily()), (SparsePointPlant, SparsePointRobotFamily())]
)
@pytest.mark.parametrize("division", [1, 4, 40])
def test_the_plant_walks_the_trajectory_of_the_worlds_bit_for_bit(
    plant_type: type[Plant], family: TaskFamily, division: int
) -> None:
    plant, worlds, robot = plant_type(), family.make_worlds(1), make_robot()
    plant.reset(5, 1)
    worlds.reset(np.zeros((1, 2)), np.array([episode_seed(5, 1)]))
    for action in np.random.default_rng(0).uniform(-1, 1, (20, 2)):
        plant.write(robot.command(action, plant.read().position))
        for _ in range(division):
            plant.step(0.1 / division)
        np.testing.assert_array_equal(plant.read().position, worlds.step(action[None]).signals[0])


def test_the_plant_glides_evenly_and_then_stands() -> None:
    plant = SparsePointPlant()
    plant.write([0.1, 0.0])
    plant.step(0.05)
    reading = plant.read()
    np.testing.assert_allclose(reading.position, [0.05, 0.0])
    assert reading.velocity is not None
    np.testing.assert_allclose(reading.velocity, [1.0, 0.0])
    plant.step(0.2)
    reading = plant.read()
    np.testing.assert_array_equal(reading.position, [0.1, 0.0])
    assert reading.velocity is not None
    np.testing.assert_array_equal(reading.velocity, [0.0, 0.0])
