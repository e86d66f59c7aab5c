# SPDX-License-Identifier: Apache-2.0
"""The paper's evaluation protocol, with the networks in training.

Each task is met afresh: the leading exploration episodes act on z from the prior, later ones on z from the
posterior given everything seen on this task. The score is the return of the last episode.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.pearl.episodes import Episodes
from meta_rl_core.pearl.rollout import Explorer
from meta_rl_core.tasks import Array


class Evaluation(NamedTuple):
    """Per task and episode; where tasks had unequally many, the last one stands for those that others had beyond it."""

    returns: Array
    """Undiscounted dense returns, shape (tasks, episodes)."""
    sparse_returns: Array
    """Undiscounted sparse returns, shape (tasks, episodes)."""
    final_error: Array
    """Distance to the goal at the last step, shape (tasks, episodes)."""
    final_success: Array
    """1 where the last step counts as solved, shape (tasks, episodes)."""
    steps: int
    """Environment steps used; not counted as training steps."""


def evaluate(
    explorer: Explorer,
    tasks: Array,
    *,
    episodes: int,
    exploration_episodes: int,
    generator: np.random.Generator,
    least_steps: int = 0,
) -> Evaluation:
    """Meets each of `tasks` (n, K) with deterministic actions and sampled z.

    Args:
        explorer: Acts and infers.
        tasks: Task parameters, shape (n, K).
        episodes: Episodes on each task.
        exploration_episodes: Leading ones that act on the prior.
        generator: Draws start states and hypotheses.
        least_steps: A task goes on beyond those episodes until so many steps are lived, as in the published code; the
            last one is always finished.
    """
    fixed = not explorer.agent.config.infers
    lived: list[Episodes] = []
    steps = np.zeros(len(tasks), dtype=np.int64)
    going: NDArray[np.bool_] = np.ones(len(tasks), dtype=np.bool_)
    while going.any():
        if fixed or len(lived) < exploration_episodes:
            z = explorer.prior_z(tasks, generator)
        else:
            z = explorer.infer(lived, "sample", generator)
        lived.append(explorer.episode(tasks, z, generator, deterministic=True, going=going))
        steps += lived[-1].valid.sum(axis=1)
        going = np.full(len(tasks), len(lived) < episodes) | (steps < least_steps)
    ends = [e.valid.shape[1] - 1 - np.argmax(e.valid[:, ::-1], axis=1) for e in lived]
    rows = np.arange(len(tasks))
    # Of each task its own episodes, and from then on its last one again.
    own = np.stack([e.valid[:, 0] for e in lived], axis=1)
    shown = np.where(own, np.arange(len(lived)), own.sum(axis=1, keepdims=True) - 1)

    def in_turn(values: list[Array]) -> Array:
        return np.take_along_axis(np.stack(values, axis=1).astype(np.float64), shown, axis=1)

    return Evaluation(
        in_turn([e.returns() for e in lived]),
        in_turn([e.returns(sparse=True) for e in lived]),
        in_turn([e.error[rows, end] for e, end in zip(lived, ends, strict=True)]),
        in_turn([e.success[rows, end] for e, end in zip(lived, ends, strict=True)]),
        sum(e.steps for e in lived),
    )
