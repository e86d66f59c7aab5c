# SPDX-License-Identifier: Apache-2.0
"""Every registered task family goes through the same checks; a family of your own should too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError, NonFiniteError
from meta_rl_core.registry import load_family, registered_names
from meta_rl_core.tasks import TaskFamily, WorldsStep

Array = NDArray[np.float64]
Seeds = NDArray[np.int64]

# The shipped ones by module where the package is not installed and so announces nothing.
FAMILIES = registered_names("families") or [
    "sim_bridge.locomotion.families:make_ant_dir",
    "sim_bridge.locomotion.families:make_ant_goal",
    "sim_bridge.locomotion.families:make_cheetah_dir",
    "sim_bridge.locomotion.families:make_cheetah_vel",
    "sim_bridge.locomotion.families:make_hopper_params",
    "sim_bridge.locomotion.families:make_humanoid_dir",
    "sim_bridge.locomotion.families:make_walker_params",
    "sim_bridge.dclaw.families:make_dclaw_turn",
    "sim_bridge.dclaw.families:make_dclaw_turn_dynamics",
    "sim_bridge.dclaw.families:make_dclaw_turn_sparse",
    "sim_bridge.point.families:make_point_robot",
    "sim_bridge.point.families:make_sparse_point_robot",
]
WORLDS = 3
STEPS = 8
# Elements of the observation that published definitions hold though they never move in eight random steps.
STILL = {
    "cheetah-vel": {18},  # the torso's y
    "cheetah-dir": {18},
    "ant-goal": set(range(29, 113)),  # contact forces on bodies that nothing touches
    "humanoid-dir": {
        *range(45, 55),  # the world's inertia
        *range(54, 185, 10),  # masses
        *range(185, 191),  # the world's velocity
        *range(269, 275),  # motor forces on the root, which has no motor
        *range(292, 376),  # contact forces on bodies that nothing touches
    },
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> TaskFamily:
    """Each registered family once."""
    return load_family(request.param)


def some_tasks(family: TaskFamily, count: int = WORLDS) -> Array:
    """Training tasks, shape (count, K), over again where there are fewer."""
    tasks = family.training_tasks()
    return tasks[np.arange(count) % len(tasks)]


def random_actions(family: TaskFamily, count: int = WORLDS, steps: int = STEPS) -> Array:
    """Actions in [-1, 1], shape (steps, count, A)."""
    return np.random.default_rng(2).uniform(-1.0, 1.0, (steps, count, family.spec.action_dim))


def roll(family: TaskFamily, tasks: Array, seeds: Seeds, actions: Array) -> tuple[Array, list[WorldsStep]]:
    """Runs fresh worlds; returns the first observation and every step."""
    worlds = family.make_worlds(len(tasks))
    first = worlds.reset(tasks, seeds)
    return first, [worlds.step(action) for action in actions]


def assert_same(one: tuple[Array, list[WorldsStep]], other: tuple[Array, list[WorldsStep]]) -> None:
    """Both runs gave the same bits."""
    np.testing.assert_array_equal(one[0], other[0])
    for left, right in zip(one[1], other[1], strict=True):
        for a, b in zip(left, right, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_spec_agrees_with_reward_model_and_robot(family: TaskFamily) -> None:
    spec, reward = family.spec, family.reward_model
    assert spec.signal_names == reward.signal_names
    assert spec.task_names == reward.task_names
    if reward.signal_terms:
        assert sum(term.dimension(spec.action_dim) for term in reward.signal_terms) == len(spec.signal_names)
    else:
        assert spec.robot is None
    assert spec.horizon >= 1
    assert spec.context_reward in ("dense", "sparse")
    if spec.robot is not None:
        assert (spec.robot.observation_dim, spec.robot.action_dim) == (spec.observation_dim, spec.action_dim)
        assert (spec.robot.horizon, spec.robot.period_s) == (spec.horizon, spec.period_s)


def test_training_tasks_are_fixed_finite_and_the_callers_own(family: TaskFamily) -> None:
    tasks = family.training_tasks()
    assert tasks.ndim == 2
    assert tasks.shape[1] == len(family.spec.task_names)
    assert len(tasks) >= 2
    assert np.isfinite(tasks).all()
    copy = tasks.copy()
    tasks += 1.0
    np.testing.assert_array_equal(family.training_tasks(), copy)


def test_heldout_tasks_follow_their_seed_and_were_never_trained_on(family: TaskFamily) -> None:
    training = family.training_tasks()
    for seed in range(20):
        heldout = family.heldout_tasks(50, seed)
        assert heldout.shape == (50, training.shape[1])
        assert np.isfinite(heldout).all()
        np.testing.assert_array_equal(heldout, family.heldout_tasks(50, seed))
        distance = np.abs(heldout[:, None] - training[None]).max(axis=-1)
        if family.finite:
            # There are no other tasks: held-out ones are the training ones, all equally often.
            assert (distance.min(axis=1) == 0.0).all()
            assert np.ptp((distance == 0.0).sum(axis=0)) <= 1
        else:
            assert distance.min() > 1e-6
    assert (family.heldout_tasks(50, 0) != family.heldout_tasks(50, 1)).any()
    np.testing.assert_array_equal(family.heldout_tasks(7, 3), family.heldout_tasks(50, 3)[:7])
    assert family.heldout_tasks(0, 0).shape == (0, training.shape[1])


@pytest.mark.parametrize(("count", "seed"), [(-1, 0), (1, -1)])
def test_negative_counts_and_seeds_of_heldout_tasks_are_refused(
    family: TaskFamily, count: int, seed: int
) -> None:
    with pytest.raises(InvalidValueError, match="0 or greater"):
        family.heldout_tasks(count, seed)


def test_sampled_tasks_follow_their_generator(family: TaskFamily) -> None:
    one = family.sample_tasks(9, np.random.default_rng(1))
    assert one.shape == (9, len(family.spec.task_names))
    np.testing.assert_array_equal(one, family.sample_tasks(9, np.random.default_rng(1)))
    assert len(np.unique(one, axis=0)) == (min(9, len(family.training_tasks())) if family.finite else 9)


def test_shapes_and_finiteness(family: TaskFamily) -> None:
    spec = family.spec
    tasks = some_tasks(family)
    actions = random_actions(family)
    first, steps = roll(family, tasks, np.arange(WORLDS), actions)
    assert first.shape == (WORLDS, spec.observation_dim)
    assert first.dtype == np.float64
    for step, action in zip(steps, actions, strict=True):
        assert step.observation.shape == (WORLDS, spec.observation_dim)
        assert step.signals.shape == (WORLDS, len(spec.signal_names))
        assert step.terminal.shape == (WORLDS,)
        assert step.terminal.dtype == np.bool_
        assert np.isfinite(step.observation).all()
        assert np.isfinite(step.signals).all()
        judged = family.reward_model.judge(step.signals, action, tasks)
        for values in judged:
            assert values.shape == (WORLDS,)
            assert np.isfinite(values).all()
        assert judged.success.dtype == np.bool_
        assert (judged.error >= 0).all()


def test_the_same_seeds_and_actions_give_the_same_bits(family: TaskFamily) -> None:
    tasks, actions = some_tasks(family), random_actions(family)
    seeds = np.array([5, 6, 5])
    assert_same(roll(family, tasks, seeds, actions), roll(family, tasks, seeds, actions))


def test_a_world_depends_on_its_own_seed_and_actions_alone(family: TaskFamily) -> None:
    tasks, actions = some_tasks(family), random_actions(family)
    first, steps = roll(family, tasks, np.arange(WORLDS), actions)
    for world in range(WORLDS):
        row = slice(world, world + 1)
        alone = roll(family, tasks[row], np.arange(WORLDS)[row], actions[:, row])
        cut = [WorldsStep(step.observation[row], step.signals[row], step.terminal[row]) for step in steps]
        assert_same(alone, (first[row], cut))


def test_what_the_observation_may_tell_of_the_task_shows_from_the_start(family: TaskFamily) -> None:
    visible = len(family.spec.visible_task_names)
    assert family.spec.task_names[:visible] == family.spec.visible_task_names
    tasks, worlds = some_tasks(family), family.make_worlds(WORLDS)
    first = worlds.reset(tasks, np.arange(WORLDS))
    tasks[:, :visible] += 0.5
    shows = (worlds.reset(tasks, np.arange(WORLDS)) != first).any(axis=1)
    assert shows.all() if visible else not shows.any()


def test_the_hidden_task_shows_in_observations_and_signals_exactly_if_it_changes_the_dynamics(
    family: TaskFamily,
) -> None:
    actions, seeds = random_actions(family), np.arange(WORLDS)
    tasks = some_tasks(family, WORLDS + 1)
    tasks[:, : len(family.spec.visible_task_names)] = tasks[0, : len(family.spec.visible_task_names)]
    one, other = (roll(family, part, seeds, actions) for part in (tasks[:-1], tasks[1:]))
    np.testing.assert_array_equal(one[0], other[0])
    if family.changes_dynamics:
        assert (one[1][-1].observation != other[1][-1].observation).any(axis=1).all()
    else:
        assert_same(one, other)


def test_a_reset_leaves_nothing_of_the_episode_before(family: TaskFamily) -> None:
    tasks, actions, seeds = some_tasks(family), random_actions(family), np.arange(WORLDS)
    worlds = family.make_worlds(WORLDS)
    runs = []
    for _ in range(2):
        first = worlds.reset(tasks, seeds)
        runs.append((first, [worlds.step(action) for action in actions]))
    assert_same(runs[0], runs[1])


def test_the_reward_is_a_pure_function_of_rows(family: TaskFamily) -> None:
    tasks = some_tasks(family, 5)
    actions = random_actions(family, count=4)
    _, steps = roll(family, np.repeat(tasks[:1], 4, axis=0), np.arange(4), actions)
    signals = np.stack([step.signals for step in steps])
    # Every transition judged under every task at once, as hindsight relabelling does.
    at_once = family.reward_model.judge(signals[None], actions[None], tasks[:, None, None])
    for index in np.ndindex(len(tasks), STEPS, 4):
        task, rest = index[0], index[1:]
        single = family.reward_model.judge(signals[rest], actions[rest], tasks[task])
        for together, alone in zip(at_once, single, strict=True):
            assert together.shape == (len(tasks), STEPS, 4)
            np.testing.assert_array_equal(together[index], alone)


def test_the_reward_refuses_wrong_lengths(family: TaskFamily) -> None:
    size, actions = len(family.spec.signal_names), np.zeros((2, family.spec.action_dim))
    tasks = family.training_tasks()[:2]
    with pytest.raises(InvalidValueError, match="signals"):
        family.reward_model.judge(np.zeros((2, size + 1)), actions, tasks)
    with pytest.raises(InvalidValueError, match="tasks"):
        family.reward_model.judge(np.zeros((2, size)), actions, np.zeros((2, tasks.shape[1] + 1)))


def test_what_worlds_hand_out_is_the_callers_own(family: TaskFamily) -> None:
    tasks, actions, seeds = some_tasks(family), random_actions(family), np.arange(WORLDS)
    expected = roll(family, tasks, seeds, actions)
    worlds = family.make_worlds(WORLDS)
    first = worlds.reset(tasks, seeds)
    kept = first.copy()
    steps = []
    for action in actions:
        step = worlds.step(action)
        steps.append(WorldsStep(*(part.copy() for part in step)))
        for part in (step.observation, step.signals):
            part[:] = 1e9
        assert not np.shares_memory(step.observation, step.signals)
    np.testing.assert_array_equal(first, kept)
    assert_same((first, steps), expected)


def test_no_element_of_the_observation_is_constant(family: TaskFamily) -> None:
    tasks = np.repeat(family.training_tasks()[:1], 4, axis=0)
    _, steps = roll(family, tasks, np.arange(4), random_actions(family, count=4))
    spread = np.ptp(np.concatenate([step.observation for step in steps]), axis=0)
    assert set(np.flatnonzero(spread <= 1e-6)) <= STILL.get(family.spec.name, set())


def test_actions_beyond_their_range_act_like_the_bound(family: TaskFamily) -> None:
    tasks, seeds = some_tasks(family), np.arange(WORLDS)
    actions = 4.0 * random_actions(family)
    assert_same(roll(family, tasks, seeds, actions), roll(family, tasks, seeds, np.clip(actions, -1, 1)))


@pytest.mark.parametrize("bad", ["nan", "infinity", "short", "flat", "missing world"])
def test_bad_actions_are_refused_before_anything_moves(family: TaskFamily, bad: str) -> None:
    tasks, actions, seeds = some_tasks(family), random_actions(family), np.arange(WORLDS)
    worlds = family.make_worlds(WORLDS)
    first = worlds.reset(tasks, seeds)
    wrong = actions[0].copy()
    if bad in ("nan", "infinity"):
        wrong[WORLDS - 1, 0] = np.nan if bad == "nan" else np.inf
    else:
        wrong = {"short": wrong[:, :-1], "flat": wrong[0], "missing world": wrong[:-1]}[bad]
    error, said = (NonFiniteError, "finite") if bad in ("nan", "infinity") else (InvalidValueError, "shape")
    with pytest.raises(error, match=f"actions must .*{said}"):
        worlds.step(wrong)
    assert_same((first, [worlds.step(action) for action in actions]), roll(family, tasks, seeds, actions))


@pytest.mark.parametrize("bad", ["nan task", "task shape", "seed shape", "negative seed", "fractional seed"])
def test_bad_resets_are_refused(family: TaskFamily, bad: str) -> None:
    worlds = family.make_worlds(WORLDS)
    tasks, seeds = some_tasks(family).copy(), np.arange(WORLDS)
    if bad == "nan task":
        tasks[0, 0] = np.nan
    cases: dict[str, tuple[Array, NDArray[Any], type[Exception]]] = {
        "nan task": (tasks, seeds, NonFiniteError),
        "task shape": (tasks[:-1], seeds, InvalidValueError),
        "seed shape": (tasks, seeds[:-1], InvalidValueError),
        "negative seed": (tasks, seeds - 1, InvalidValueError),
        "fractional seed": (tasks, seeds + 0.5, InvalidValueError),
    }
    bad_tasks, bad_seeds, error = cases[bad]
    with pytest.raises(error):
        worlds.reset(bad_tasks, bad_seeds)
