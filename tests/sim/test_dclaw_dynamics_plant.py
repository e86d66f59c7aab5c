# SPDX-License-Identifier: Apache-2.0
"""The plant of a hidden body moves as the worlds that policies are trained in."""

from __future__ import annotations

import numpy as np
import pytest

from meta_rl_core.errors import InvalidValueError, NonFiniteError
from meta_rl_core.families.dclaw_dynamics import TASK_NAMES, make_goal_robot
from sim_bridge.dclaw.dynamics import DClawDynamicsWorlds
from sim_bridge.dclaw.dynamics_plant import DClawDynamicsPlant
from sim_bridge.dclaw.plant import DClawPlant
from sim_bridge.seeding import episode_seed

STEPS = 12
SOFT = np.array([0.7, 4.0, 0.1, 0.035, 3.0])


def actions() -> np.ndarray:
    """Random actions held for four steps, shape (STEPS, 9)."""
    generator = np.random.default_rng(5)
    return np.repeat(np.clip(generator.normal(0.0, 0.8, (STEPS // 4, 9)), -1, 1), 4, axis=0)


def walk(task: np.ndarray, division: int = 1) -> np.ndarray:
    """Joint positions after each step, shape (STEPS, 10)."""
    plant, robot, seen = DClawDynamicsPlant(), make_goal_robot(), []
    plant.set_task(task)
    plant.reset(11, 2)
    for action in actions():
        plant.write(robot.command(action, plant.read().position))
        for _ in range(division):
            plant.step(0.1 / division)
        seen.append(plant.read().position)
    return np.array(seen)


@pytest.mark.parametrize("prongs", [3.0, 4.0])
@pytest.mark.parametrize("division", [1, 10])
def test_the_plant_walks_the_trajectory_of_the_worlds_bit_for_bit(prongs: float, division: int) -> None:
    task = np.array([*SOFT[:4], prongs])
    worlds = DClawDynamicsWorlds(1)
    worlds.reset(task[None], np.array([episode_seed(11, 2)]))
    expected = []
    for action in actions():
        worlds.step(action[None])
        expected.append(worlds.physics.position[0].copy())
    np.testing.assert_array_equal(walk(task, division), expected)


@pytest.mark.parametrize(("quantity", "value"), [(1, 15.0), (2, 0.3), (3, 0.08), (4, 4.0)])
def test_each_hidden_quantity_changes_how_the_plant_moves_and_the_target_does_not(
    quantity: int, value: float
) -> None:
    other = SOFT.copy()
    other[quantity] = value
    assert np.abs(walk(other) - walk(SOFT)).max() > 0.01
    elsewhere = SOFT.copy()
    elsewhere[0] = -2.0
    np.testing.assert_array_equal(walk(elsewhere), walk(SOFT))


def test_a_command_acts_when_its_latency_is_over() -> None:
    plant, still = DClawDynamicsPlant(), DClawDynamicsPlant()
    for each in (plant, still):
        each.set_task([0.0, 2.0, 0.0, 0.03, 3.0])
        each.reset(1, 0)
    plant.write(np.full(9, 0.2))
    for each in (plant, still):
        each.step(0.03)
    np.testing.assert_array_equal(plant.read().position, still.read().position)
    for each in (plant, still):
        each.step(0.0025)
    assert np.abs(plant.read().velocity - still.read().velocity)[:9].min() > 0.01


def test_a_shorter_latency_never_brings_commands_out_of_order() -> None:
    plant, straight = DClawDynamicsPlant(), DClawDynamicsPlant()
    plant.set_task([0.0, 2.0, 0.0, 0.08, 3.0])
    plant.write(np.full(9, 0.3))
    plant.set_task([0.0, 2.0, 0.0, 0.0, 3.0])
    for each in (plant, straight):
        each.write(np.full(9, -0.1))
        each.step(0.2)
    np.testing.assert_array_equal(plant.read().position, straight.read().position)


def test_another_body_moves_no_joint_and_a_wrong_one_is_refused_whole() -> None:
    plant = DClawDynamicsPlant()
    plant.set_task(SOFT)
    plant.step(0.1)
    before = plant.read()
    plant.set_task([0.1, 9.0, 0.2, 0.01, 4.0])
    np.testing.assert_array_equal(plant.read().position, before.position)
    np.testing.assert_array_equal(plant.read().velocity, before.velocity)
    for wrong, error, said in (
        ([0.1, 0.0, 0.2, 0.01, 4.0], InvalidValueError, "servo_gain_n_m_rad"),
        ([0.1, 9.0, 0.2, 0.01, 5.0], InvalidValueError, "3 or 4"),
        ([0.1, np.nan, 0.2, 0.01, 4.0], NonFiniteError, "task"),
    ):
        with pytest.raises(error, match=said):
            plant.set_task(wrong)
    np.testing.assert_array_equal(plant.task, [0.1, 9.0, 0.2, 0.01, 4.0])


def test_the_family_decides_which_hand_it_is() -> None:
    assert type(DClawPlant.of_family("dclaw-turn")) is DClawPlant
    assert DClawPlant.of_family("dclaw-turn-dynamics").task_names == TASK_NAMES
