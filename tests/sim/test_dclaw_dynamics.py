# SPDX-License-Identifier: Apache-2.0
"""D'Claws of hidden servos, valve and delay: each quantity does what it says, and nothing else changes."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError, NonFiniteError
from meta_rl_core.families.dclaw_dynamics import TASK_NAMES, DynamicsRanges
from meta_rl_core.families.dclaw_turn import RESET_POSE_RAD, make_robot
from sim_bridge.dclaw.dynamics import BodyBuilder, DClawDynamicsWorlds
from sim_bridge.dclaw.families import DClawDynamicsFamily, make_dclaw_turn_dynamics
from sim_bridge.dclaw.model import start_state
from sim_bridge.dclaw.worlds import DClawWorlds

Array = NDArray[np.float64]
STEPS = 12
TARGET, GAIN, FRICTION, LATENCY, PRONGS = range(5)
PUBLIC_MODEL = np.array([1.3, 2.0, 0.0, 0.0, 3.0])


def varied(**quantities: float) -> Array:
    """The public model's task with some quantities changed, shape (5,)."""
    task = PUBLIC_MODEL.copy()
    for name, value in quantities.items():
        task[TASK_NAMES.index(name)] = value
    return task


def actions_that_touch(count: int) -> Array:
    """Random actions held for four steps, shape (STEPS, count, 9)."""
    generator = np.random.default_rng(5)
    return np.repeat(np.clip(generator.normal(0.0, 0.8, (STEPS // 4, count, 9)), -1, 1), 4, axis=0)


def test_the_public_models_numbers_give_the_bits_of_dclaw_turn_and_two_columns_for_the_target() -> None:
    plain, told = DClawWorlds(3, threads=1), DClawDynamicsWorlds(3, threads=1)
    seeds, actions = np.arange(3), actions_that_touch(3)
    tasks = np.tile(PUBLIC_MODEL, (3, 1))
    np.testing.assert_array_equal(told.reset(tasks, seeds)[:, :29], plain.reset(tasks[:, :1], seeds))
    for action in actions:
        one, other = plain.step(action), told.step(action)
        np.testing.assert_array_equal(other.signals, one.signals)
        np.testing.assert_array_equal(other.observation[:, :29], one.observation)
        way = 1.3 - one.signals[:, 18]
        np.testing.assert_allclose(
            other.observation[:, 29:], np.stack([np.cos(way), np.sin(way)], axis=1), atol=1e-15
        )


def test_a_command_acts_once_its_latency_is_over_and_the_former_one_until_then() -> None:
    worlds = DClawDynamicsWorlds(1)
    task = varied(latency_s=0.03)
    worlds.reset(task[None], np.array([4]))
    builder, robot = BodyBuilder(), make_robot()
    model = builder.build(task)
    data = mujoco.MjData(model)
    mujoco.mj_setState(model, data, start_state(4), mujoco.mjtState.mjSTATE_FULLPHYSICS)
    former = RESET_POSE_RAD
    for action in actions_that_touch(1)[:, 0]:
        step, command = worlds.step(action[None]), robot.command(action, data.qpos)
        data.qacc_warmstart[:] = 0.0
        # 30 ms are 12 physics steps of 2.5 ms; 28 of the 40 are left for the new command.
        for told, count in ((former, 12), (command, 28)):
            data.ctrl[:] = told
            mujoco.mj_step(model, data, count)
        former = command
        np.testing.assert_array_equal(step.signals[0, :9], data.qpos[:9])
        assert step.signals[0, 18] == data.qpos[9]


def test_a_new_episode_begins_with_the_reset_pose_held() -> None:
    worlds = DClawDynamicsWorlds(1)
    runs = []
    for _ in range(2):
        worlds.reset(varied(latency_s=0.08)[None], np.array([4]))
        runs.append([worlds.step(action).signals for action in actions_that_touch(1)])
    np.testing.assert_array_equal(runs[0], runs[1])


@pytest.mark.parametrize(("gain", "offset", "torque"), [(1.0, 0.2, 0.2), (7.5, 0.2, 1.5), (20.0, 0.2, 3.0)])
def test_a_servo_pushes_with_gain_times_offset_up_to_its_stall_torque(
    gain: float, offset: float, torque: float
) -> None:
    model = BodyBuilder().build(varied(servo_gain_n_m_rad=gain))
    data = mujoco.MjData(model)
    data.ctrl[:] = offset
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(data.actuator_force, torque, rtol=1e-12)


@pytest.mark.parametrize(("torque", "moves"), [(0.19, False), (0.21, True)])
def test_dry_friction_holds_the_valve_against_a_smaller_torque(torque: float, moves: bool) -> None:
    model = BodyBuilder().build(varied(valve_friction_n_m=0.2))
    data = mujoco.MjData(model)
    data.qfrc_applied[9] = torque
    # The fingers stay where they are, off the valve.
    data.qpos[:9] = data.ctrl[:] = RESET_POSE_RAD
    mujoco.mj_step(model, data, 200)
    # 0.01 N m beyond the friction against a damping of 0.1 N m s end at 0.1 rad/s.
    assert data.qvel[9] == pytest.approx(0.1 if moves else 0.0, abs=0.02)


def test_four_prongs_are_two_bars_across_of_the_volume_worked_out_by_hand() -> None:
    model = BodyBuilder().build(varied(prongs=4))
    hub = np.pi * 0.02**2 * 0.055
    bar = np.pi * 0.021**2 * 0.148 + 4 / 3 * np.pi * 0.021**3
    assert model.body("valve").mass[0] == pytest.approx(1000 * (hub + 2 * bar))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    axes = [data.geom(name).xmat.reshape(3, 3)[:, 2] for name in ("prong0", "prong1")]
    np.testing.assert_allclose(np.abs(axes), [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    # The public three-pronged valve reaches 0.094 m, the bars 0.095 m.
    assert model.geom("prong0").size[:2].sum() == pytest.approx(0.095)


@pytest.mark.parametrize(
    "changed",
    [{"servo_gain_n_m_rad": 15.0}, {"valve_friction_n_m": 0.25}, {"latency_s": 0.06}, {"prongs": 4.0}],
)
def test_each_hidden_quantity_changes_the_motion(changed: dict[str, float]) -> None:
    worlds = DClawDynamicsWorlds(2)
    worlds.reset(np.stack([PUBLIC_MODEL, varied(**changed)]), np.array([1, 1]))
    moved = np.zeros(2)
    for action in np.repeat(actions_that_touch(1), 2, axis=1):
        moved = worlds.step(action).signals
    assert np.abs(moved[0] - moved[1]).max() > 1e-3


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"servo_gain_n_m_rad": 0.0}, r"servo_gain_n_m_rad must be within \[0.1, 50\], got 0"),
        ({"valve_friction_n_m": -0.1}, "valve_friction_n_m must be within"),
        ({"latency_s": 0.2}, r"latency_s must be within \[0, 0.1\], got 0.2"),
        ({"prongs": 3.5}, "prongs must be 3 or 4, got 3.5"),
    ],
)
def test_a_body_that_cannot_be_is_refused_and_no_world_changes(changed: dict[str, float], said: str) -> None:
    worlds = DClawDynamicsWorlds(2)
    worlds.reset(np.tile(PUBLIC_MODEL, (2, 1)), np.arange(2))
    before = worlds.physics.models
    with pytest.raises(InvalidValueError, match=said):
        worlds.reset(np.stack([PUBLIC_MODEL, varied(**changed)]), np.arange(2))
    with pytest.raises(NonFiniteError):
        worlds.reset(np.stack([PUBLIC_MODEL, varied(latency_s=np.nan)]), np.arange(2))
    assert worlds.physics.models is before


def test_draws_fill_their_ranges_evenly() -> None:
    tasks = make_dclaw_turn_dynamics().sample_tasks(4000, np.random.default_rng(0))
    for column, (low, high) in (
        (TARGET, (-np.pi, np.pi)),
        (GAIN, (1, 20)),
        (FRICTION, (0, 0.3)),
        (LATENCY, (0, 0.08)),
    ):
        share = (tasks[:, column] - low) / (high - low)
        assert 0.0 <= share.min() < 0.01 < 0.99 < share.max() <= 1.0
        assert share.mean() == pytest.approx(0.5, abs=0.02)
    assert set(tasks[:, PRONGS]) == {3.0, 4.0}
    assert (tasks[:, PRONGS] == 3.0).mean() == pytest.approx(0.5, abs=0.03)


def test_narrower_ranges_give_narrower_tasks() -> None:
    family = DClawDynamicsFamily(DynamicsRanges((4.0, 5.0), (0.1, 0.1), (0.02, 0.03), (4, 4)))
    for tasks in (family.training_tasks(), family.heldout_tasks(50, 1)):
        assert 4.0 <= tasks[:, GAIN].min() <= tasks[:, GAIN].max() <= 5.0
        assert set(tasks[:, FRICTION]) == {0.1}
        assert set(tasks[:, PRONGS]) == {4.0}


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("servo_gain_n_m_rad", (5.0, 4.0)),
        ("valve_friction_n_m", (0.0, 9.0)),
        ("latency_s", (0.0, float("nan"))),
        ("prongs", (3.0, 3.5)),
    ],
)
def test_ranges_out_of_order_or_beyond_the_model_are_refused(name: str, bounds: tuple[float, float]) -> None:
    with pytest.raises(InvalidValueError, match=name):
        DynamicsRanges(**{name: bounds})


def test_an_observation_shown_under_another_target_is_the_one_that_world_would_have_given() -> None:
    family = make_dclaw_turn_dynamics()
    worlds, others = family.make_worlds(3), family.make_worlds(3)
    tasks = family.training_tasks()[:3]
    retold = tasks.copy()
    retold[:, TARGET] += [0.5, -1.5, 3.0]
    seeds = np.arange(3)
    worlds.reset(tasks, seeds), others.reset(retold, seeds)
    for action in actions_that_touch(3)[:4]:
        lived, other = worlds.step(action), others.step(action)
        np.testing.assert_array_equal(lived.signals, other.signals)
        np.testing.assert_allclose(
            family.show_task(lived.observation, retold), other.observation, rtol=0, atol=1e-12
        )
