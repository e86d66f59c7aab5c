# SPDX-License-Identifier: Apache-2.0
"""The paper's evaluation protocol, with the networks in training.

Each task is met afresh: the leading exploration episodes act on z from the prior, later ones on z from the
posterior given everything seen on this task. The score is the return of the last episode.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from meta_rl_core.pearl.episodes import Episodes
from meta_rl_core.pearl.rollout import Explorer
from meta_rl_core.tasks import Array


class Evaluation(NamedTuple):
    """Per task and episode."""

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
) -> Evaluation:
    """Meets each of `tasks` (n, K) for `episodes` episodes with deterministic actions and sampled z."""
    fixed = not explorer.agent.config.infers
    lived: list[Episodes] = []
    for index in range(episodes):
        if fixed or index < exploration_episodes:
            z = explorer.prior_z(tasks, generator)
        else:
            z = explorer.infer(lived, "sample", generator)
        lived.append(explorer.episode(tasks, z, generator, deterministic=True))
    last = [e.valid.shape[1] - 1 - np.argmax(e.valid[:, ::-1], axis=1) for e in lived]
    rows = np.arange(len(tasks))
    return Evaluation(
        np.stack([e.returns() for e in lived], axis=1),
        np.stack([e.returns(sparse=True) for e in lived], axis=1),
        np.stack([e.error[rows, end] for e, end in zip(lived, last, strict=True)], axis=1),
        np.stack([e.success[rows, end] for e, end in zip(lived, last, strict=True)], axis=1).astype(
            np.float64
        ),
        sum(e.steps for e in lived),
    )
