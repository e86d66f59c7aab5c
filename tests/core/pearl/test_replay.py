# SPDX-License-Identifier: Apache-2.0
"""A replay that is full: what is overwritten serves nobody any more."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.pearl.plans import CollectionConfig
from meta_rl_core.pearl.replay import TaskReplay
from meta_rl_core.pearl.visits import RelabelledReplay
from tests.core.pearl.test_collection import make_learner


def test_a_full_store_overwrites_the_oldest() -> None:
    learner = make_learner(CollectionConfig(1, False, 1, 1, 0, 0), relabel=True, method="sac_v2")
    learner.replay.store.capacity = 12
    for _ in range(3):
        learner.collect()
    assert learner.replay.store.size == 12
    assert learner.replay.store.total == 15


def test_a_replay_that_has_gone_round_draws_of_each_task_its_own_transitions_alone() -> None:
    learner = make_learner(CollectionConfig(1, False, 6, 1, 0, 1), replay_capacity=150)
    learner.collect_initial()
    for _ in range(12):
        learner.collect()
    replay = learner.replay
    assert isinstance(replay, TaskReplay)
    assert replay.store.total > 3 * replay.store.capacity
    tasks = np.arange(6)
    goals = torch.as_tensor(learner.tasks, dtype=torch.float32)
    for rows in (
        replay.sample_rl(tasks, 40, learner.generator),
        replay.sample_context(tasks, 40, learner.generator),
    ):
        held = replay.store.gather(rows)
        torch.testing.assert_close(held["reward"], -(held["signals"][..., 0] - goals).abs())


def test_a_task_of_which_nothing_is_left_is_named() -> None:
    learner = make_learner(CollectionConfig(1, False, 1, 1, 0, 0), replay_capacity=20)
    learner.collect_initial()
    with pytest.raises(
        InvalidValueError, match="nothing of task 0 is left in the replay, which holds 20 transitions"
    ):
        learner.replay.sample_rl(np.arange(6), 4, learner.generator)  # type: ignore[union-attr]


def test_visits_that_are_partly_overwritten_serve_no_more() -> None:
    learner = make_learner(
        CollectionConfig(1, False, 4, 2, 1, 0), relabel=True, method="sac_v2", replay_capacity=130
    )
    for _ in range(5):
        learner.collect()
    replay = learner.replay
    assert isinstance(replay, RelabelledReplay)
    kept = np.concatenate([rows for visit in replay.episodes for rows in visit])
    assert replay.store.total == 300
    assert len(replay.tasks) == 8
    assert kept.min() >= 300 - 130


def test_a_replay_too_small_for_one_iteration_is_refused() -> None:
    learner = make_learner(
        CollectionConfig(1, False, 4, 2, 1, 0), relabel=True, method="sac_v2", replay_capacity=44
    )
    with pytest.raises(InvalidValueError, match="replay_capacity 44 is less than one iteration collects"):
        learner.collect()
