# SPDX-License-Identifier: Apache-2.0
"""All locomotion worlds: the same bits alone, together and on any threads, ends in falls, and bad physics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError
from sim_bridge.batch_physics import BatchPhysics
from sim_bridge.checks import SimulationError
from sim_bridge.locomotion import families
from sim_bridge.locomotion.families import LocomotionFamily
from sim_bridge.locomotion.worlds import LocomotionWorlds, load_gymnasium_model

Array = NDArray[np.float64]
FACTORIES = [
    families.make_cheetah_vel,
    families.make_cheetah_dir,
    families.make_ant_dir,
    families.make_ant_goal,
    families.make_humanoid_dir,
    families.make_walker_params,
    families.make_hopper_params,
]
WORLDS = 5
STEPS = 24


@pytest.fixture(scope="module", params=FACTORIES, ids=lambda factory: factory.__name__[5:])
def family(request: pytest.FixtureRequest) -> LocomotionFamily:
    """Each locomotion family once."""
    factory: Callable[[], LocomotionFamily] = request.param
    return factory()


def tasks_of(family: LocomotionFamily) -> Array:
    """Tasks for all worlds, shape (WORLDS, K)."""
    return family.sample_tasks(WORLDS, np.random.default_rng(8))


def actions_of(family: LocomotionFamily) -> Array:
    """Strong random actions, each held for three steps, shape (STEPS, WORLDS, A)."""
    shape = (STEPS // 3, WORLDS, family.spec.action_dim)
    return np.repeat(np.random.default_rng(5).uniform(-1.0, 1.0, shape), 3, axis=0)


def start(family: LocomotionFamily, threads: int) -> LocomotionWorlds:
    """Worlds at the start of an episode."""
    worlds = family.make_worlds(WORLDS, threads)
    worlds.reset(tasks_of(family), np.arange(WORLDS))
    return worlds


def test_worlds_give_the_bits_of_one_world_stepped_alone_by_mujoco(family: LocomotionFamily) -> None:
    worlds, touched = start(family, threads=2), 0
    alone = []
    for row in range(WORLDS):
        data = mujoco.MjData(worlds.physics.models[row])
        data.qpos[:], data.qvel[:] = worlds.physics.position[row], worlds.physics.velocity[row]
        alone.append(data)
    fallen = np.zeros(WORLDS, dtype=np.bool_)
    for action in actions_of(family):
        step = worlds.step(action)
        for row in np.flatnonzero(~fallen):
            data = alone[row]
            data.ctrl[:] = worlds.action_scale * action[row]
            data.qacc_warmstart[:] = 0.0
            mujoco.mj_step(worlds.physics.models[row], data, worlds.substeps)
            touched += data.ncon
            np.testing.assert_array_equal(worlds.physics.position[row], data.qpos)
            np.testing.assert_array_equal(worlds.physics.velocity[row], data.qvel)
        fallen = step.terminal
    assert touched > 10, "the comparison must cover contacts"


def test_the_number_of_threads_changes_no_bit(family: LocomotionFamily) -> None:
    runs = [start(family, threads) for threads in (1, 2, 4)]
    for action in actions_of(family):
        one, *others = (worlds.step(action) for worlds in runs)
        for other in others:
            for left, right in zip(one, other, strict=True):
                np.testing.assert_array_equal(left, right)


def test_a_policy_step_lasts_as_long_as_the_family_says_and_an_episode_two_hundred(
    family: LocomotionFamily,
) -> None:
    worlds = start(family, threads=1)
    assert worlds.period_s == pytest.approx(family.spec.period_s, abs=1e-12)
    assert family.spec.horizon == 200
    worlds.step(np.zeros((WORLDS, family.spec.action_dim)))
    np.testing.assert_allclose(worlds.physics.state[:, 0], family.spec.period_s, rtol=1e-12)


def test_stepping_before_the_first_reset_is_refused(family: LocomotionFamily) -> None:
    with pytest.raises(SimulationError, match="reset"):
        family.make_worlds(2).step(np.zeros((2, family.spec.action_dim)))


def test_physics_that_blew_up_ends_the_episode_or_is_an_error_where_there_is_no_end(
    family: LocomotionFamily, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warning into the working folder
    worlds, actions = start(family, threads=2), np.zeros((WORLDS, family.spec.action_dim))
    worlds.physics.velocity[1] = 1e12
    if not worlds.can_fall:
        with pytest.raises(SimulationError, match=r"worlds \[1\] became unstable"):
            worlds.step(actions)
        with pytest.raises(SimulationError, match="reset"):
            worlds.step(actions)
        return
    step = worlds.step(actions)
    assert step.terminal[1]
    assert np.isfinite(step.observation).all()


def test_physics_of_some_rows_leaves_the_other_worlds_alone() -> None:
    model = load_gymnasium_model("half_cheetah.xml")
    physics, whole = BatchPhysics(model, 4, 5, threads=2), BatchPhysics(model, 4, 5, threads=1)
    for batch in (physics, whole):
        batch.position[:] = np.linspace(-0.1, 0.1, 4)[:, None]
    control = np.random.default_rng(0).uniform(-1, 1, (4, 6))
    assert not whole.advance(control).any()
    before, rows = physics.state.copy(), np.array([0, 2])
    assert not physics.advance(control[rows], rows).any()
    np.testing.assert_array_equal(physics.state[rows], whole.state[rows])
    np.testing.assert_array_equal(physics.state[[1, 3]], before[[1, 3]])
    assert physics.advance(control[:0], rows[:0]).shape == (0,)


def test_a_model_with_more_state_than_positions_and_velocities_is_refused() -> None:
    model = mujoco.MjModel.from_xml_string(
        """<mujoco><worldbody><body><joint name="j"/><geom size="1"/></body></worldbody>
        <actuator><general joint="j" dyntype="integrator"/></actuator></mujoco>"""
    )
    with pytest.raises(SimulationError, match="no state besides"):
        BatchPhysics(model, 1, 1)


def test_a_model_file_gymnasium_does_not_ship_is_named() -> None:
    with pytest.raises(SimulationError, match=r"no_such\.xml"):
        load_gymnasium_model("no_such.xml")


@pytest.mark.parametrize(("count", "threads"), [(0, None), (2, 0)])
def test_a_number_of_worlds_or_threads_below_one_is_refused(count: int, threads: int | None) -> None:
    with pytest.raises(InvalidValueError):
        families.make_cheetah_vel().make_worlds(count, threads)


def test_a_fallen_world_stays_as_it_fell_and_the_others_go_on() -> None:
    family = families.make_humanoid_dir()
    worlds = start(family, threads=2)
    worlds.physics.position[3, 2] = 0.9
    actions = np.full((WORLDS, 17), 0.1)
    first = worlds.step(actions)
    np.testing.assert_array_equal(first.terminal, [False, False, False, True, False])
    state = worlds.physics.state.copy()
    second = worlds.step(-actions)
    np.testing.assert_array_equal(second.terminal, first.terminal)
    moved = (worlds.physics.state != state).any(axis=1)
    np.testing.assert_array_equal(moved, ~first.terminal)
    np.testing.assert_array_equal(second.observation[3], first.observation[3])
    worlds.reset(tasks_of(family), np.arange(WORLDS))
    assert not worlds.step(actions).terminal.any()


@pytest.mark.parametrize(
    ("make", "column", "value", "falls"),
    [
        # The column counts positions and, from nq on, velocities.
        (families.make_ant_dir, 2, 0.19, True),
        (families.make_ant_dir, 2, 0.21, False),
        (families.make_ant_dir, 2, 0.99, False),
        (families.make_ant_dir, 2, 1.01, True),
        (families.make_humanoid_dir, 2, 0.99, True),
        (families.make_humanoid_dir, 2, 1.01, False),
        (families.make_humanoid_dir, 2, 2.01, True),
        (families.make_walker_params, 1, 0.79, True),
        (families.make_walker_params, 1, 0.81, False),
        (families.make_walker_params, 1, 2.01, True),
        (families.make_walker_params, 2, 0.99, False),
        (families.make_walker_params, 2, -1.01, True),
        (families.make_walker_params, 10, 500.0, False),
        (families.make_hopper_params, 1, 0.69, True),
        (families.make_hopper_params, 1, 0.71, False),
        (families.make_hopper_params, 2, -0.19, False),
        (families.make_hopper_params, 2, 0.21, True),
        (families.make_hopper_params, 8, -99.0, False),
        (families.make_hopper_params, 8, -101.0, True),
        (families.make_hopper_params, 0, 500.0, False),
    ],
)
def test_falls_are_what_is_published(
    make: Callable[[], LocomotionFamily], column: int, value: float, falls: bool
) -> None:
    worlds = start(make(), threads=1)
    assert worlds.can_fall
    worlds.physics.state[1, 1 + column] = value
    np.testing.assert_array_equal(worlds.has_fallen(np.array([0, 1])), [False, falls])
