# SPDX-License-Identifier: Apache-2.0
"""Tasks that transitions are relabelled to though nobody visits them (`relabelled_tasks`)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.pearl.plans import CollectionConfig
from meta_rl_core.pearl.visits import RelabelledReplay
from tests.core.pearl.test_collection import make_learner

PLAN = CollectionConfig(2, False, 3, 1, 1, 0)


def make(further: int, seed: int = 0, **settings: object):  # type: ignore[no-untyped-def]
    return make_learner(PLAN, relabel=True, method="sac_v2", relabelled_tasks=further, seed=seed, **settings)


def test_they_follow_the_training_tasks_and_the_seed_decides_them() -> None:
    once, again, other = make(50), make(50), make(50, seed=1)
    np.testing.assert_array_equal(once.tasks[:6, 0], np.linspace(-1.0, 1.0, 6))
    assert len(np.unique(once.tasks)) == 56
    np.testing.assert_array_equal(once.tasks, again.tasks)
    assert not np.isin(once.tasks[6:], other.tasks[6:]).any()


def test_nobody_visits_them_and_they_cost_no_step() -> None:
    learner, plain = make(50), make(0)
    for one in (learner, plain):
        one.collect_initial()
        for _ in range(20):
            one.collect()
    assert isinstance(learner.replay, RelabelledReplay)
    # 6 tasks x 2 episodes x 5 steps, then 20 times 3 visits of 2 episodes.
    assert learner.env_steps == plain.env_steps == 660
    assert set(learner.replay.tasks) == set(range(6))


def test_batches_are_mostly_of_them_with_their_rewards() -> None:
    learner = make(600)
    learner.collect_initial()
    # Half of the contexts relabel; 600 of the 606 tasks that those may speak of are further ones.
    seen = np.concatenate([learner.draw_contexts(7)[0] for _ in range(200)])
    assert 0.42 < (seen >= 6).mean() < 0.58
    tasks = np.array([3, 605])
    drawn = learner.draw_transitions(tasks)
    goals = torch.as_tensor(learner.tasks[tasks], dtype=torch.float32)
    torch.testing.assert_close(drawn["reward"], -(drawn["signals"][..., 0] - goals).abs())


def test_exploring_still_tries_hypotheses_of_the_training_tasks_alone() -> None:
    learner = make(50, privileged_share=0.5)
    assert learner.agent.known_features.shape == (6, 1)
    assert learner.task_features.shape == (56, 1)


def test_without_relabelling_they_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="relabelled_tasks needs relabel=true"):
        make_learner(PLAN, relabelled_tasks=3)
    with pytest.raises(InvalidValueError, match="relabelled_tasks must not be negative, got -1"):
        make_learner(PLAN, relabelled_tasks=-1)
