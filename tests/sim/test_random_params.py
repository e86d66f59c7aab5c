# SPDX-License-Identifier: Apache-2.0
"""Walkers and hoppers of random build: what is drawn, what changes in the compiled model, and that it moves."""

from __future__ import annotations

from copy import copy

import mujoco
import numpy as np
import pytest

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.families.locomotion_params import HOPPER, WALKER, Build, HopperParamsReward
from sim_bridge.locomotion.families import LocomotionFamily, make_hopper_params, make_walker_params
from sim_bridge.locomotion.random_params import BuildMultiplier
from sim_bridge.locomotion.worlds import load_gymnasium_model

BODIES = [(HOPPER, "hopper.xml", 34), (WALKER, "walker2d.xml", 58)]


@pytest.fixture(params=[make_hopper_params, make_walker_params], ids=["hopper", "walker"])
def family(request: pytest.FixtureRequest) -> LocomotionFamily:
    """Both families."""
    made: LocomotionFamily = request.param()
    return made


def test_the_reward_is_forward_speed_and_being_up_minus_effort() -> None:
    judged = HopperParamsReward().judge(np.array([[1.5]]), np.array([[1.0, 0.5, 0.0]]), np.zeros((1, 34)))
    # Squares 1.25, times 0.001.
    assert judged.reward[0] == pytest.approx(1.5 + 1.0 - 0.00125)
    assert judged.success[0]


@pytest.mark.parametrize(("build", "file_name", "count"), BODIES)
def test_a_task_names_every_parameter_of_the_model_that_is_not_zero(
    build: Build, file_name: str, count: int
) -> None:
    model = load_gymnasium_model(file_name)
    assert {model.body(index).name for index in np.flatnonzero(model.body_mass)} == set(build.bodies)
    assert {model.geom(index).name for index in range(model.ngeom)} == set(build.geoms)
    damped = model.dof_jntid[np.flatnonzero(model.dof_damping)]
    assert {model.joint(index).name for index in damped} == set(build.joints)
    assert len(build.task_names) == len(set(build.task_names)) == len(build.largest_log) == count


def test_multipliers_span_their_published_ranges(family: LocomotionFamily) -> None:
    build = WALKER if family.spec.name == "walker-params" else HOPPER
    multipliers = np.exp(family.sample_tasks(4000, np.random.default_rng(0)))
    damping = multipliers[:, -len(build.joints) :]
    others = multipliers[:, : -len(build.joints)]
    for values, base in ((others, 1.5), (damping, 1.3)):
        assert base**-3 <= values.min() < base**-2.95
        assert base**2.95 < values.max() <= base**3
        # The logarithm is uniform, so half of the multipliers lie below 1.
        np.testing.assert_allclose((values < 1.0).mean(axis=0), 0.5, atol=0.05)
    assert family.training_tasks().shape == (40, len(build.task_names))


@pytest.mark.parametrize(("build", "file_name", "count"), BODIES)
def test_every_parameter_of_a_task_changes_its_field_of_the_compiled_model(
    build: Build, file_name: str, count: int
) -> None:
    base = load_gymnasium_model(file_name)
    model, multiplier = copy(base), BuildMultiplier(base, build)
    log = np.log(2.0)
    fields = {
        "mass": "body_mass",
        "inertia": "body_inertia",
        "friction": "geom_friction",
        "damping": "dof_damping",
    }
    for index, name in enumerate(build.task_names):
        task = np.zeros(count)
        task[index] = log
        multiplier.apply(model, task)
        for kind, field in fields.items():
            changed = getattr(model, field) != getattr(base, field)
            assert changed.sum() == (kind == name.split("_")[1]), name
            np.testing.assert_allclose(getattr(model, field)[changed], 2.0 * getattr(base, field)[changed])
    multiplier.apply(model, np.zeros(count))
    for field in fields.values():
        np.testing.assert_array_equal(getattr(model, field), getattr(base, field))


def test_what_follows_from_masses_follows_them() -> None:
    base = load_gymnasium_model("hopper.xml")
    model, task = copy(base), np.zeros(34)
    task[:4] = np.log(2.0)
    BuildMultiplier(base, HOPPER).apply(model, task)
    assert model.body_subtreemass[1] == pytest.approx(2.0 * base.body_subtreemass[1])
    # Doubled masses (and not inertias) make the root's slider twice as heavy.
    assert model.dof_M0[0] == pytest.approx(2.0 * base.dof_M0[0])
    assert base.body_subtreemass[1] == pytest.approx(base.body_mass.sum())


@pytest.mark.parametrize("kind", ["mass", "inertia_y", "friction_slide", "damping"])
def test_each_kind_of_parameter_changes_the_motion(family: LocomotionFamily, kind: str) -> None:
    names = family.spec.task_names
    tasks = np.zeros((3, len(names)))
    chosen = [index for index, name in enumerate(names) if name.startswith(f"log_{kind}_")]
    tasks[1, chosen], tasks[2, chosen] = 0.7, -0.7
    worlds = family.make_worlds(3)
    worlds.reset(tasks, np.array([4, 4, 4]))
    for action in np.random.default_rng(1).uniform(-1, 1, (25, 1, family.spec.action_dim)):
        step = worlds.step(np.repeat(action, 3, axis=0))
    one, heavier, lighter = step.observation
    assert np.abs(heavier - one).max() > 1e-4
    assert np.abs(lighter - one).max() > 1e-4


def test_a_world_of_the_unchanged_build_moves_as_the_file_says(family: LocomotionFamily) -> None:
    worlds = family.make_worlds(1)
    worlds.reset(np.zeros((1, len(family.spec.task_names))), np.array([4]))
    data = mujoco.MjData(worlds.model)
    data.qpos[:], data.qvel[:] = worlds.physics.position[0], worlds.physics.velocity[0]
    for action in np.random.default_rng(1).uniform(-0.3, 0.3, (15, 1, family.spec.action_dim)):
        before, step = data.qpos[0], worlds.step(action)
        data.ctrl[:] = action[0]
        mujoco.mj_step(worlds.model, data, 4)
        expected = [*data.qpos[1:], *np.clip(data.qvel, -10, 10)]
        np.testing.assert_allclose(step.observation[0], expected, rtol=0, atol=1e-4)
        assert step.signals[0, 0] == pytest.approx((data.qpos[0] - before) / 0.008, abs=1e-3)
    assert not step.terminal.any()


def test_builds_out_of_range_are_refused_and_change_nothing(family: LocomotionFamily) -> None:
    worlds = family.make_worlds(2)
    tasks = family.training_tasks()[:2]
    worlds.reset(tasks, np.arange(2))
    masses = [model.body_mass.copy() for model in worlds.physics.models]
    tasks[1, 0] = 3.5
    with pytest.raises(InvalidValueError, match=r"\[-3, 3\]"):
        worlds.reset(tasks, np.arange(2))
    for model, mass in zip(worlds.physics.models, masses, strict=True):
        np.testing.assert_array_equal(model.body_mass, mass)
