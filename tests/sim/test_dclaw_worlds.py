# SPDX-License-Identifier: Apache-2.0
"""D'Claw worlds and plant: the same bits alone, together, on any threads, in any division of time."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError, NonFiniteError
from meta_rl_core.families.dclaw_turn import RESET_POSE_RAD, DClawTurnReward, make_robot
from meta_rl_core.runtime.terms import assemble
from sim_bridge.checks import SimulationError
from sim_bridge.dclaw.model import FULL_PHYSICS, load_model, start_state
from sim_bridge.dclaw.plant import DClawPlant
from sim_bridge.dclaw.worlds import DClawWorlds
from sim_bridge.seeding import episode_seed

STEPS = 20


def actions_that_turn_the_valve(count: int) -> NDArray[np.float64]:
    """Random actions held for four steps: fingers hit the valve and each other, shape (STEPS, count, 9)."""
    generator = np.random.default_rng(5)
    return np.repeat(np.clip(generator.normal(0.0, 0.8, (STEPS // 4, count, 9)), -1, 1), 4, axis=0)


def roll(worlds: DClawWorlds, seeds: NDArray[np.int64], actions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signals of an episode, shape (STEPS, N, 19)."""
    worlds.reset(np.zeros((worlds.count, 1)), seeds)
    return np.stack([worlds.step(action).signals for action in actions])


def test_worlds_give_the_bits_of_one_world_stepped_alone_by_mujoco() -> None:
    seeds = np.arange(6)
    actions = actions_that_turn_the_valve(6)
    together = roll(DClawWorlds(6, threads=2), seeds, actions)
    model, robot = load_model(), make_robot()
    touched = 0
    for world in range(6):
        data = mujoco.MjData(model)
        mujoco.mj_setState(model, data, start_state(int(seeds[world])), FULL_PHYSICS)
        for step in range(STEPS):
            data.ctrl[:] = robot.command(actions[step, world], data.qpos)
            data.qacc_warmstart[:] = 0.0
            mujoco.mj_step(model, data, 40)
            touched += data.ncon
            np.testing.assert_array_equal(together[step, world, :9], data.qpos[:9])
            np.testing.assert_array_equal(together[step, world, 9:18], data.qvel[:9])
            assert together[step, world, 18] == data.qpos[9]
    assert touched > 50, "the comparison must cover contacts"


def test_commands_pass_the_filter_of_the_real_robot() -> None:
    robot = make_robot()
    wide = replace(
        robot.action, low=np.full(9, -3.0), high=np.full(9, 3.0), max_step=None, half_range=np.full(9, 3.0)
    )
    worlds = DClawWorlds(2, threads=1)
    worlds.reset(np.zeros((2, 1)), np.arange(2))
    worlds._robot = replace(robot, action=wide)
    told = []
    worlds.control = lambda command: (told.append(command), command)[1]  # type: ignore[assignment,return-value]
    for _ in range(30):
        worlds.step(np.stack([np.ones(9), -np.ones(9)]))
    # config/robots/dclaw.yaml, 5 degrees taken off; 2 pi / 3 rad/s for 0.1 s from the reset pose (0, -60, 60 degrees).
    five = np.deg2rad(5.0)
    high = np.tile([0.5672664626 - five, 1.134464014 - five, 1.65806279 - five], 3)
    low = np.tile([-0.45 + five, -1.134464014 + five, -1.65806279 + five], 3)
    step = np.pi / 15.0
    np.testing.assert_allclose(told[0][0], np.minimum(RESET_POSE_RAD + step, high), atol=1e-8)
    np.testing.assert_allclose(told[0][1], np.maximum(RESET_POSE_RAD - step, low), atol=1e-8)
    reached = np.array(told)
    ends = [0, 2, 3, 5, 6, 8]  # each finger's second joint meets the valve before its limit
    assert reached[:, 0, ends].max(axis=0) == pytest.approx(high[ends], abs=1e-8)
    assert (reached <= high + 1e-8).all()
    assert (reached >= low - 1e-8).all()


def test_the_number_of_threads_changes_no_bit() -> None:
    actions = actions_that_turn_the_valve(8)
    alone = roll(DClawWorlds(8, threads=1), np.arange(8), actions)
    for threads in (2, 5):
        np.testing.assert_array_equal(roll(DClawWorlds(8, threads=threads), np.arange(8), actions), alone)


def test_an_episode_leaves_nothing_behind_for_the_next() -> None:
    worlds = DClawWorlds(4, threads=2)
    actions = actions_that_turn_the_valve(4)
    first = roll(worlds, np.arange(4), actions)
    roll(worlds, np.arange(10, 14), -actions)
    np.testing.assert_array_equal(roll(worlds, np.arange(4), actions), first)


def test_the_start_is_the_reset_pose_at_rest_with_the_valve_within_sixty_degrees() -> None:
    observation = DClawWorlds(300, threads=1).reset(np.zeros((300, 1)), np.arange(300))
    np.testing.assert_array_equal(observation[:, :9], np.tile(RESET_POSE_RAD, (300, 1)))
    np.testing.assert_array_equal(observation[:, 9:18], 0.0)
    np.testing.assert_array_equal(observation[:, 20:], 0.0)
    valve = np.arctan2(observation[:, 19], observation[:, 18])
    assert np.abs(valve).max() <= np.pi / 3
    assert valve.min() < -0.9 < 0.9 < valve.max()


def test_the_observation_is_claw_velocity_scaled_valve_and_last_action() -> None:
    worlds = DClawWorlds(1)
    worlds.reset(np.zeros((1, 1)), np.array([3]))
    action = np.arange(-1.5, 1.6, 0.375)[None].astype(np.float64)
    step = worlds.step(action)
    np.testing.assert_array_equal(step.observation[0, :9], step.signals[0, :9])
    np.testing.assert_allclose(step.observation[0, 9:18], 0.2 * step.signals[0, 9:18], rtol=1e-15)
    np.testing.assert_allclose(
        step.observation[0, 18:20], [np.cos(step.signals[0, 18]), np.sin(step.signals[0, 18])]
    )
    np.testing.assert_array_equal(step.observation[0, 20:], np.clip(action[0], -1, 1))
    assert not step.terminal.any()


def test_no_joint_moves_faster_than_its_command_allows() -> None:
    signals = roll(DClawWorlds(8), np.arange(8), actions_that_turn_the_valve(8))
    moved = np.abs(np.diff(signals[..., :9], axis=0))
    # 0.2094 rad of command change per step, plus what a joint still coasts when the command turns.
    assert moved.max() < 0.26


def test_the_plant_walks_the_trajectory_of_the_worlds_bit_for_bit_in_any_division_of_time() -> None:
    seed = episode_seed(11, 2)
    actions = actions_that_turn_the_valve(1)
    worlds = DClawWorlds(1)
    worlds.reset(np.zeros((1, 1)), np.array([seed]))
    steps = [worlds.step(action) for action in actions]
    robot = make_robot()
    for division in (1, 4, 10, 40):
        plant = DClawPlant()
        plant.reset(11, 2)
        for step in range(STEPS):
            plant.write(robot.command(actions[step, 0], plant.read().position))
            for _ in range(division):
                plant.step(0.1 / division)
            reading = plant.read()
            signals = assemble(
                DClawTurnReward.signal_terms, reading.names, reading.position, reading.velocity
            )
            np.testing.assert_array_equal(signals, steps[step].signals[0])
            observation = robot.observe(reading.position, reading.velocity, actions[step, 0])
            np.testing.assert_array_equal(observation, steps[step].observation[0])


def test_the_clock_of_the_plant_never_goes_back() -> None:
    plant = DClawPlant()
    assert plant.read().stamp_ns == 0
    plant.step(0.1)
    plant.reset(1, 0)
    assert plant.read().stamp_ns == 100_000_000
    plant.step(0.0025)
    assert plant.read().stamp_ns == 102_500_000


def test_setting_the_task_moves_no_joint_and_is_kept_over_a_reset() -> None:
    plant = DClawPlant()
    before = plant.read()
    plant.set_task([1.25])
    np.testing.assert_array_equal(plant.read().position, before.position)
    plant.reset(4, 1)
    np.testing.assert_array_equal(plant.task, [1.25])


def test_readings_share_no_memory_with_the_plant() -> None:
    plant = DClawPlant()
    reading = plant.read()
    copy = reading.position.copy()
    plant.step(0.1)
    np.testing.assert_array_equal(reading.position, copy)


@pytest.mark.parametrize("duration_s", [0.0, -0.1, 0.001, 0.0026, float("nan"), float("inf")])
def test_the_plant_refuses_durations_that_are_no_multiple_of_its_time_step(duration_s: float) -> None:
    plant = DClawPlant()
    with pytest.raises(SimulationError, match=r"multiple of 0\.0025"):
        plant.step(duration_s)
    assert plant.read().stamp_ns == 0


def test_the_plant_keeps_its_command_when_a_bad_one_comes() -> None:
    good, other = DClawPlant(), DClawPlant()
    for plant in (good, other):
        plant.write(np.full(9, 0.1))
    with pytest.raises(NonFiniteError):
        other.write(np.array([np.nan] + [0.0] * 8))
    with pytest.raises(InvalidValueError, match=r"\(9,\)"):
        other.write(np.zeros(10))
    for plant in (good, other):
        plant.step(0.1)
    np.testing.assert_array_equal(good.read().position, other.read().position)


def test_stepping_before_the_first_reset_is_refused() -> None:
    with pytest.raises(SimulationError, match="reset"):
        DClawWorlds(2).step(np.zeros((2, 9)))


@pytest.mark.parametrize(("count", "threads"), [(0, None), (-1, 1), (2, 0)])
def test_a_number_of_worlds_or_threads_below_one_is_refused(count: int, threads: int | None) -> None:
    with pytest.raises(InvalidValueError):
        DClawWorlds(count, threads)
