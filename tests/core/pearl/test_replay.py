# SPDX-License-Identifier: Apache-2.0
"""What a replay keeps, what it overwrites, and that what is overwritten serves nobody any more."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.pearl.learner import Learner
from meta_rl_core.pearl.memory import unfilled
from meta_rl_core.pearl.plans import CollectionConfig
from meta_rl_core.pearl.replay import Index, TaskReplay, TransitionStore
from meta_rl_core.pearl.visits import RelabelledReplay
from tests.core.pearl.test_collection import make_learner
from tests.helpers.toy_family import LineFamily

VISITS: dict[str, object] = {"relabel": True, "method": "sac_v2"}


def test_a_full_store_overwrites_the_oldest() -> None:
    learner = make_learner(CollectionConfig(1, False, 1, 1, 0, 0), relabel=True, method="sac_v2")
    learner.replay.store.capacity = 12
    for _ in range(3):
        learner.collect()
    assert learner.replay.store.size == 12
    assert learner.replay.store.total == 15


def books(learner: Learner) -> TaskReplay:
    assert isinstance(learner.replay, TaskReplay)
    return learner.replay


def lived(learner: Learner, rows: Index) -> torch.Tensor:
    """What lies in these rows, one column for all."""
    found = books(learner).store.gather(torch.from_numpy(rows))
    return torch.cat([value.reshape(len(rows), -1) for value in found.values()], dim=1)


def test_a_run_of_more_transitions_than_one_task_may_keep_overwrites_nothing() -> None:
    # The one ring there was held `replay_capacity` transitions of all tasks together.
    learner = make_learner(CollectionConfig(1, False, 3, 1, 0, 1), replay_capacity=200)
    learner.collect_initial()
    history: list[torch.Tensor] = []
    for _ in range(12):
        learner.collect()
        store = books(learner).store
        history.append(lived(learner, np.arange(store.size)))
    assert learner.env_steps == 390
    assert store.size == store.total == sum(len(rows) for rows in books(learner).rl_rows) == 390
    for before in history:
        assert torch.equal(before, history[-1][: len(before)])


def test_a_task_that_is_hardly_ever_visited_keeps_what_was_lived_on_it() -> None:
    learner = make_learner(CollectionConfig(2, False, 4, 1, 0, 1), replay_capacity=60)
    learner.collect_initial()
    before = lived(learner, books(learner).rl_rows[0])
    for _ in range(30):
        books(learner).clear_context(5)
        learner._visit(np.array([1, 2, 3, 5]), 1, 0, 1)
    # 1,200 transitions later, twenty times as many as a task may keep.
    assert learner.env_steps == 60 + 1200
    assert torch.equal(lived(learner, books(learner).rl_rows[0]), before)
    assert torch.equal(lived(learner, books(learner).context_rows[0]), before)
    assert books(learner).sample_rl(np.array([0]), 4, learner.generator).shape == (1, 4)


def test_each_task_keeps_its_newest_transitions_up_to_the_capacity_and_room_is_used_again() -> None:
    learner = make_learner(CollectionConfig(1, False, 6, 1, 0, 1), replay_capacity=25)
    learner.collect_initial()
    for _ in range(20):
        newest = books(learner).store.total
        learner.collect()
    replay = books(learner)
    assert replay.store.total == 30 + 20 * 60 == newest + 60
    # 6 tasks of 25, and what one more episode in each of 6 worlds takes before as many are given back.
    assert replay.store.size <= 6 * 25 + 30
    assert max(len(rows) for rows in replay.rl_rows) == 25
    held = np.concatenate(replay.rl_rows)
    assert len(np.unique(held)) == len(held)
    tasks = np.arange(6)
    goals = torch.as_tensor(learner.tasks, dtype=torch.float32)
    for rows in (
        replay.sample_rl(tasks, 40, learner.generator),
        replay.sample_context(tasks, 40, learner.generator),
    ):
        found = replay.store.gather(rows)
        torch.testing.assert_close(found["reward"], -(found["signals"][..., 0] - goals).abs())
    for task in tasks:
        assert set(replay.context_rows[task]) <= set(replay.rl_rows[task])


def test_a_growing_store_takes_no_more_room_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meta_rl_core.pearl.replay.FIRST_ROWS", 40)
    learner = make_learner(CollectionConfig(1, False, 6, 1, 0, 0), replay_capacity=1_000_000)
    rooms = []
    for _ in range(6):
        learner.collect()
        rooms.append(len(books(learner).store.columns["reward"]))
    assert books(learner).store.size == 180
    assert rooms == [40, 60, 90, 135, 202, 202]


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_room_that_is_reserved_takes_no_memory_and_room_that_was_outgrown_is_given_back() -> None:
    spec = LineFamily().spec
    before = resident_bytes()
    ring = TransitionStore(spec, 50_000_000)
    # 7 numbers of 4 bytes each: 1.4 GB once it is full.
    assert resident_bytes() - before < 50e6
    assert ring.columns["observation"].shape == (50_000_000, 1)
    column = unfilled((50_000_000, 1), "cpu").fill_(1.0)
    assert resident_bytes() - before > 190e6
    del column
    assert resident_bytes() - before < 50e6


def test_a_capacity_below_one_visit_is_named_with_the_task_it_leaves_without_context() -> None:
    # 5 transitions to the context set and 10 more that are none: the newest 8 hold no context.
    learner = make_learner(CollectionConfig(1, False, 6, 1, 0, 2), replay_capacity=8)
    learner._visit(np.arange(6), 1, 0, 2)
    said = "nothing of task 0 is left in the replay, which keeps the newest 8 transitions of each task"
    with pytest.raises(InvalidValueError, match=said):
        books(learner).sample_context(np.arange(6), 4, learner.generator)


@pytest.mark.parametrize("settings", [{"replay_capacity": 12}, {**VISITS, "replay_capacity": 45}])
def test_a_store_is_written_as_it_was_at_the_mark_whatever_came_later(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, object]
) -> None:
    monkeypatch.setattr("meta_rl_core.pearl.replay.PART_ROWS", 16)
    learner = make_learner(CollectionConfig(1, False, 4, 1, 0, 0), **settings)
    learner.collect_initial()
    for _ in range(4):
        learner.collect()
    store = learner.replay.store
    mark = store.mark()
    before = {name: column[: store.size].clone() for name, column in store.columns.items()}
    first_step = store.first_step[: store.size].copy()
    for _ in range(4):
        learner.collect()
    # Four times 4 episodes of 5 steps: everything has been overwritten, some of it twice.
    assert not torch.equal(store.columns["action"][: mark.size], before["action"])
    parts = [store.part(index, mark) for index in sorted(mark.stamps)]
    assert [len(part["reward"]) for part in parts] == [16] * (mark.size // 16) + [mark.size % 16]
    for name, column in before.items():
        assert torch.equal(torch.cat([part[name] for part in parts]), column)
    assert torch.cat([part["first_step"] for part in parts]).tolist() == first_step.tolist()


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
