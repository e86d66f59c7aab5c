# SPDX-License-Identifier: Apache-2.0
"""The Gymnasium environments pass Gymnasium's own checker and hide the task."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from meta_rl_core.errors import InvalidValueError, NonFiniteError, UnknownNameError
from sim_bridge.gym_env import SHIPPED, TaskFamilyEnv, register_envs

FALLING = ("pitaya/HopperParams-v0", "pitaya/HumanoidDir-v0", "pitaya/WalkerParams-v0")

DRAW = """
import gymnasium, numpy, sim_bridge.gym_env
from sim_bridge.checks import SimulationError
env = gymnasium.make("pitaya/DClawTurn-v0", render_mode="rgb_array", task=[0.0])
env.reset(seed=0)
try:
    here = env.render()
except SimulationError:
    print("cannot draw")
else:
    env.reset(seed=0, options={"task": [3.0]})
    there = env.render()
    print(here.shape, here.dtype, here.std() > 10, (here != there).any())
"""


@pytest.mark.parametrize("env_id", sorted(SHIPPED))
def test_every_shipped_family_passes_gymnasiums_checker_without_a_warning(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Positions have no natural bounds, so the checker's hint about infinite limits does not apply.
        warnings.filterwarnings("ignore", message=".*infinity.*")
        env = gymnasium.make(env_id)
        check_env(env.unwrapped, skip_render_check=True)
        env.close()


@pytest.mark.parametrize("env_id", sorted(SHIPPED))
def test_an_episode_is_truncated_at_the_horizon_and_terminated_by_a_fall_alone(env_id: str) -> None:
    env = gymnasium.make(env_id)
    env.reset(seed=1)
    env.action_space.seed(1)
    horizon = env.unwrapped.family.spec.horizon  # type: ignore[attr-defined]
    flags = []
    while not flags or flags[-1] == (False, False):
        flags.append(env.step(env.action_space.sample())[2:4])
    assert flags[:-1] == [(False, False)] * (len(flags) - 1)
    if env_id in FALLING:
        assert len(flags) < horizon, "random actions do not keep these bodies up"
    else:
        assert len(flags) == horizon
    assert flags[-1] == (env_id in FALLING, len(flags) == horizon)


@pytest.mark.parametrize("env_id", sorted(SHIPPED))
def test_naming_the_task_changes_the_reward_and_nothing_that_is_observed_but_the_dynamics(
    env_id: str,
) -> None:
    streams, rewards = [], []
    for index in (0, 1):
        env = gymnasium.make(env_id)
        task = env.unwrapped.family.training_tasks()[index]  # type: ignore[attr-defined]
        observation, info = env.reset(seed=9, options={"task": task})
        np.testing.assert_array_equal(info["task"], task)
        action = np.full(env.action_space.shape or (), 0.4)
        steps = [env.step(action) for _ in range(10)]
        streams.append(np.stack([observation, *(step[0] for step in steps)]))
        rewards.append([step[1] for step in steps])
    if not env.unwrapped.family.changes_dynamics:  # type: ignore[attr-defined]
        np.testing.assert_array_equal(streams[0], streams[1])
    assert rewards[0] != rewards[1]


def test_info_holds_the_parts_of_the_reward() -> None:
    env = TaskFamilyEnv("sim_bridge.point.families:make_sparse_point_robot", task=[0.1, 0.0])
    env.reset(seed=0)
    _, reward, terminated, truncated, info = env.step(np.array([0.0, 0.0]))
    assert reward == pytest.approx(-0.1)
    assert info == {"sparse_reward": pytest.approx(0.9), "error": pytest.approx(0.1), "success": True}
    assert not terminated
    assert not truncated


def test_without_a_task_every_episode_draws_another_one_and_the_seed_repeats_them() -> None:
    env = TaskFamilyEnv("sim_bridge.point.families:make_point_robot")
    first = [env.reset(seed=4)[1]["task"], env.reset()[1]["task"]]
    again = [env.reset(seed=4)[1]["task"], env.reset()[1]["task"]]
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).all()


def test_registering_twice_is_harmless() -> None:
    register_envs()
    assert set(SHIPPED) <= set(gymnasium.registry)


def test_bad_input_is_refused_with_the_reason() -> None:
    env = TaskFamilyEnv("sim_bridge.point.families:make_point_robot")
    env.reset(seed=0)
    with pytest.raises(InvalidValueError, match=r"shape \(2,\)"):
        env.step(np.zeros(3))
    with pytest.raises(NonFiniteError, match="finite"):
        env.step(np.array([np.nan, 0.0]))
    with pytest.raises(InvalidValueError, match="'goal'"):
        env.reset(options={"goal": [0.0, 0.0]})
    with pytest.raises(InvalidValueError, match=r"shape \(2,\)"):
        env.reset(options={"task": [0.0]})
    with pytest.raises(InvalidValueError, match="render_mode"):
        TaskFamilyEnv("sim_bridge.point.families:make_point_robot", render_mode="human")
    with pytest.raises(UnknownNameError, match="no-such-family"):
        TaskFamilyEnv("no-such-family")


def test_the_picture_shows_the_scene_and_the_target() -> None:
    # In its own process: MuJoCo chooses its OpenGL binding when it is imported.
    environment = {"MUJOCO_GL": "egl", **os.environ}
    done = subprocess.run(
        [sys.executable, "-c", DRAW],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )
    if "cannot draw" in done.stdout or "OpenGL" in done.stderr:
        pytest.skip(f"this machine offers no OpenGL: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == "(480, 640, 3) uint8 True True"
