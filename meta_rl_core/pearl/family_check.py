# SPDX-License-Identifier: Apache-2.0
"""Tries a family for a few steps before a run begins, so that a broken contract is told at once and by name."""

from __future__ import annotations

from typing import Any

import numpy as np

from meta_rl_core.errors import ContractError
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.tasks import Array, TaskFamily

STEPS = 3
_VISIBLE_DIFFERENCE = 1e-6
_START = "or start every body alike: a start depends on its seed alone, and motion may tell the rest"
_MOTION = "or set changes_dynamics if it changes how worlds move"


def check_family(family: TaskFamily) -> None:
    """Draws tasks, and lets two worlds of different ones, but one seed and one sequence of actions, run a few steps.

    Raises:
        ContractError: If shapes or types are wrong, a reward or an observation is not finite, or the task shows in
            what it must be hidden in.
    """
    spec = family.spec
    tasks = _two_tasks(family)
    generator = np.random.Generator(np.random.PCG64(0))
    for what, drawn in (
        ("heldout_tasks(2, seed)", family.heldout_tasks(2, 0)),
        ("sample_tasks(2, generator)", family.sample_tasks(2, generator)),
    ):
        _expect(family, what, drawn, (2, len(spec.task_names)), "one column per task name")
    worlds = family.make_worlds(2)
    observation = worlds.reset(tasks, np.zeros(2, dtype=np.int64))
    _expect(family, "observation of reset()", observation, (2, spec.observation_dim))
    # Not even a task that moves the body: how a world starts depends on its seed alone.
    _expect_hidden(family, "the observation of reset()", observation, _START)
    for _ in range(STEPS):
        actions = np.repeat(generator.uniform(-1.0, 1.0, size=(1, spec.action_dim)), 2, axis=0)
        result = worlds.step(actions)
        _expect(family, "observation of step()", result.observation, (2, spec.observation_dim))
        _expect(family, "signals of step()", result.signals, (2, len(spec.signal_names)))
        _expect_flags(family, "terminal of step()", result.terminal)
        if not family.changes_dynamics:
            _expect_hidden(family, "the observation of step()", result.observation, _MOTION)
            _expect_hidden(family, "the signals of step()", result.signals, _MOTION)
        judged = family.reward_model.judge(result.signals, actions, tasks)
        for name in ("reward", "sparse_reward", "error"):
            _expect(family, f"{name} of judge()", getattr(judged, name), (2,))
        _expect_flags(family, "success of judge()", judged.success)


def check_settings(family: TaskFamily, config: PearlConfig) -> None:
    """Whether a family can be trained with these settings at all.

    Raises:
        ContractError: If not; says what to set instead.
    """
    spec = family.spec
    if config.control == "oracle" and config.latent_dim != len(spec.task_names):
        raise ContractError(
            f"an oracle is told the {len(spec.task_names)} task parameters of {spec.name!r} in place "
            f"of z, so latent_dim must be {len(spec.task_names)}, got {config.latent_dim}"
        )
    if config.relabel and family.changes_dynamics:
        raise ContractError(
            f"tasks of {spec.name!r} change the dynamics, so a transition of one is not a transition of "
            "another; use --set relabel=false or --preset paper"
        )
    if config.known_effort:
        _expect_effort(family)
    if config.potential_weight:
        potential = family.potential(np.zeros((1, spec.observation_dim)), _two_tasks(family))
        _expect(family, "potential()", potential, (2,))


def _expect_effort(family: TaskFamily) -> None:
    """What the reward says an action costs must be what it costs."""
    spec, weight = family.spec, family.spec.effort_weight
    if not weight > 0.0:
        raise ContractError(
            f"the reward of {spec.name!r} tells no cost of effort (effort_weight {weight}); set known_effort=false"
        )
    actions = np.stack([np.zeros(spec.action_dim), np.linspace(-1.0, 0.5, spec.action_dim)])
    judged = family.reward_model.judge(np.zeros((2, len(spec.signal_names))), actions, _two_tasks(family)[:1])
    cost, wanted = judged.reward[0] - judged.reward[1], weight * np.square(actions[1]).sum()
    if not np.isclose(cost, wanted, rtol=1e-5):
        raise ContractError(
            f"{spec.name!r} names an effort_weight of {weight}, by which actions {actions[1].tolist()} cost "
            f"{wanted:.6g}, but in its reward they cost {cost:.6g}; mend it, or set known_effort=false"
        )


def _two_tasks(family: TaskFamily) -> Array:
    """Two training tasks that differ in all that is hidden and agree in what is meant to be seen, shape (2, K)."""
    spec = family.spec
    tasks = _numbers(family, "training_tasks()", family.training_tasks())
    if tasks.ndim != 2 or not len(tasks) or tasks.shape[1] != len(spec.task_names):
        raise ContractError(
            f"training_tasks() of {spec.name!r} must have shape (n, {len(spec.task_names)}), one column per task name, "
            f"and at least one row; got {tasks.shape}"
        )
    if not np.isfinite(tasks).all():
        raise ContractError(f"training_tasks() of {spec.name!r} holds NaN or infinity")
    pair = np.array(tasks[[0, -1]], dtype=np.float64)
    visible = [name in spec.visible_task_names for name in spec.task_names]
    pair[1, visible] = pair[0, visible]
    return pair


def _numbers(family: TaskFamily, what: str, values: Any) -> Array:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ContractError(f"{what} of {family.spec.name!r} must be an array of numbers: {error}") from error


def _expect(
    family: TaskFamily, what: str, values: Any, shape: tuple[int, ...], why: str = "for two worlds"
) -> None:
    got = _numbers(family, what, values)
    if got.shape != shape:
        raise ContractError(f"{what} of {family.spec.name!r} must have shape {shape} {why}, got {got.shape}")
    if not np.isfinite(got).all():
        raise ContractError(f"{what} of {family.spec.name!r} holds NaN or infinity: {got.tolist()}")


def _expect_flags(family: TaskFamily, what: str, values: Any) -> None:
    """True or false per world, and nothing that merely looks like it: ~1.0 is an error, and ~1 is -2, which is true."""
    _expect(family, what, values, (2,))
    kind = getattr(values, "dtype", type(values).__name__)
    if kind != np.bool_:
        raise ContractError(
            f"{what} of {family.spec.name!r} must be an array of bool, as a comparison gives it, got {kind}"
        )


def _expect_hidden(family: TaskFamily, where: str, values: Array, otherwise: str) -> None:
    """The same start and the same actions must look the same whatever the hidden task."""
    different = np.flatnonzero(np.abs(np.subtract(*values)) > _VISIBLE_DIFFERENCE)
    if len(different):
        raise ContractError(
            f"{where} of {family.spec.name!r} differs between two tasks at elements {different.tolist()} though seed "
            "and actions are the same: the task must be hidden. Leave it out, name it in visible_task_names, "
            f"{otherwise}"
        )
