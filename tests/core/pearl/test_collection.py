# SPDX-License-Identifier: Apache-2.0
"""Which transition lands in which book, and on which hypothesis it was lived."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.learner import Learner
from meta_rl_core.pearl.plans import CollectionConfig
from meta_rl_core.pearl.presets import make_config
from meta_rl_core.pearl.replay import TaskReplay
from meta_rl_core.pearl.visits import RelabelledReplay
from meta_rl_core.registry import load_family
from meta_rl_core.tasks import Array, WorldsStep
from tests.helpers.toy_family import LineFamily, LineWorlds

SMALL = {
    "actor_hidden": (8,),
    "critic_hidden": (8,),
    "encoder_hidden": (8,),
    "context_size": 7,
    "batch_size": 9,
    "meta_batch": 4,
}


def make_learner(plan: CollectionConfig, family: LineFamily | None = None, **settings: object) -> Learner:
    values = {**SMALL, "replay_capacity": 10_000, **settings}
    config = PearlConfig("line", collection=plan, **values)  # type: ignore[arg-type]
    return Learner(family or LineFamily(), config)


def books(learner: Learner) -> TaskReplay:
    assert isinstance(learner.replay, TaskReplay)
    return learner.replay


def test_initial_collection_fills_both_books_of_every_task() -> None:
    learner = make_learner(CollectionConfig(2, False, 1, 1, 0, 0))
    learner.collect_initial()
    # 6 tasks x 2 episodes x 5 steps.
    assert learner.env_steps == 60
    assert [len(rows) for rows in books(learner).rl_rows] == [10] * 6
    assert [len(rows) for rows in books(learner).context_rows] == [10] * 6


def test_extra_episodes_stay_out_of_the_context_and_a_visit_clears_only_the_context() -> None:
    learner = make_learner(CollectionConfig(2, False, 1, 2, 1, 3))
    learner.collect_initial()
    learner.collect()
    visited = int(np.argmax([len(rows) for rows in books(learner).rl_rows]))
    # RL: 2 initial + 2 prior + 1 posterior + 3 extra = 8 episodes; context: only 2 prior + 1 posterior.
    assert len(books(learner).rl_rows[visited]) == 40
    assert len(books(learner).context_rows[visited]) == 15
    assert sorted(len(rows) for rows in books(learner).context_rows) == [10] * 5 + [15]


def test_of_a_task_drawn_twice_the_last_visit_alone_is_context_and_all_are_learnt_from() -> None:
    class TwoGoals(LineFamily):
        def training_tasks(self) -> Array:
            return np.array([[-1.0], [1.0]])

    # Five draws of two tasks, 2 episodes of 5 steps each into both books and 1 into the RL set alone.
    learner = make_learner(CollectionConfig(1, False, 5, 2, 0, 1), TwoGoals())
    learner.collect_initial()
    tasks = np.random.Generator(copy.deepcopy(learner.generator.bit_generator)).integers(2, size=5)
    learner.collect()
    assert sorted(tasks.tolist()) == [0, 0, 0, 1, 1]
    assert [len(rows) for rows in books(learner).context_rows] == [10, 10]
    assert [len(rows) for rows in books(learner).rl_rows] == [5 + 15 * 3, 5 + 15 * 2]
    # After 10 initial rows lie the first episodes of all five worlds, then their second ones, then their third.
    for task in (0, 1):
        last = int(np.flatnonzero(tasks == task)[-1])
        first, second = (10 + 25 * episode + 5 * last for episode in (0, 1))
        expected = [*range(first, first + 5), *range(second, second + 5)]
        assert books(learner).context_rows[task].tolist() == expected


def test_posterior_collection_begins_with_a_prior_episode_and_then_infers_once_per_episode() -> None:
    learner = make_learner(CollectionConfig(1, False, 1, 2, 0, 3))
    contexts: list[int] = []
    infer = learner.explorer.infer

    def spy(episodes, *arguments, **options):  # type: ignore[no-untyped-def]
        contexts.append(len(episodes))
        return infer(episodes, *arguments, **options)

    learner.explorer.infer = spy  # type: ignore[method-assign]
    learner.collect()
    # Three extra episodes: the first acts on the prior, so only two inferences, each from the 2 prior episodes.
    assert contexts == [2, 2]


def test_context_and_rl_rows_are_drawn_independently_from_their_own_books() -> None:
    learner = make_learner(CollectionConfig(1, False, 6, 1, 0, 2))
    learner.collect_initial()
    for _ in range(3):
        learner.collect()
    tasks = np.array([0, 3])
    generator = np.random.default_rng(0)
    rl, context = (
        draw(tasks, 500, generator) for draw in (books(learner).sample_rl, books(learner).sample_context)
    )
    for index, task in enumerate(tasks):
        assert set(rl[index].tolist()) == set(books(learner).rl_rows[task].tolist())
        assert set(context[index].tolist()) == set(books(learner).context_rows[task].tolist())


def test_nothing_after_a_real_end_is_stored_and_the_last_step_is() -> None:
    # Actions push outwards at 0.2 a step; beyond 0.3 it has fallen: 2 steps when always pushed one way.
    learner = make_learner(CollectionConfig(1, False, 1, 1, 0, 0), LineFamily(horizon=5, edge=0.3))
    push_outwards(learner)
    learner.collect()
    store = books(learner).store
    assert store.size == 2
    assert store.columns["terminal"][:2].tolist() == [0.0, 1.0]


def push_outwards(learner: Learner) -> None:
    """Always full speed ahead: 0.2 a step, which leads beyond 0.3 in the second one."""
    with torch.no_grad():
        learner.agent.actor.network.layers[-1].bias.copy_(torch.tensor([20.0, -20.0]))


def test_counting_steps_makes_up_for_episodes_that_end_early() -> None:
    # 2 prior and 3 extra episodes of 5 steps: 10 and 15 steps. Falls after 2 make that 5 and 8 whole episodes.
    for by_steps, context, everything in ((False, 4, 10), (True, 10, 26)):
        plan = CollectionConfig(1, False, 1, 2, 0, 3, by_steps=by_steps)
        learner = make_learner(plan, LineFamily(horizon=5, edge=0.3))
        push_outwards(learner)
        learner.collect()
        visited = int(np.argmax([len(rows) for rows in books(learner).rl_rows]))
        assert len(books(learner).context_rows[visited]) == context
        assert len(books(learner).rl_rows[visited]) == learner.env_steps == everything


def test_a_hopper_that_falls_is_visited_for_as_many_steps_as_one_that_stands() -> None:
    published = make_config("hopper-params", "paper").collection
    plan = dataclasses.replace(published, initial_prior_episodes=1)
    learner = Learner(load_family("hopper-params"), PearlConfig("hopper-params", collection=plan, **SMALL))  # type: ignore[arg-type]
    learner.collect_initial()
    steps = [len(rows) for rows in books(learner).rl_rows]
    ends = int(books(learner).store.columns["terminal"].sum())
    assert ends > len(steps) == 40
    assert min(steps) >= 200
    assert learner.env_steps == sum(steps)


def test_a_world_that_lived_its_steps_rests_while_others_go_on() -> None:
    # One world falls after 1 step, one after 3, one never.
    class Fragile(LineWorlds):
        def step(self, actions: Array) -> WorldsStep:
            result = super().step(np.zeros_like(actions))
            self.age += 1
            return result._replace(terminal=self.age >= np.array([1, 3, 9]))

        def reset(self, tasks: Array, seeds: NDArray[np.int64]) -> Array:
            self.age = 0
            return super().reset(tasks, seeds)

    learner = make_learner(CollectionConfig(1, False, 1, 2, 1, 2, by_steps=True))
    learner.explorer._worlds[3] = Fragile(3, np.inf)
    learner._visit(np.array([0, 2, 5]), 1, 0, 2)
    # Prior 5 steps: 5 x 1, 2 x 3, 1 x 5. Extra 10 steps: 10 x 1, 4 x 3, 2 x 5; the third world rests most of the time.
    assert [len(books(learner).rl_rows[task]) for task in (0, 2, 5)] == [15, 18, 15]
    assert [len(books(learner).context_rows[task]) for task in (0, 2, 5)] == [5, 6, 5]
    assert learner.env_steps == 15 + 18 + 15


@pytest.mark.parametrize("settings", [{}, {"relabel": True, "method": "sac_v2"}])
def test_counting_steps_changes_nothing_where_episodes_run_their_course(settings: dict[str, object]) -> None:
    extra = 0 if settings else 2
    stores = []
    for by_steps in (False, True):
        learner = make_learner(CollectionConfig(2, False, 3, 1, 1, extra, by_steps=by_steps), **settings)
        learner.collect_initial()
        learner.collect()
        learner.learn_once()
        store = learner.replay.store
        filled = [column[: store.size] for column in store.columns.values()]
        stores.append([*filled, *learner.update.state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(*stores, strict=True))


@pytest.mark.parametrize("recurrent", [False, True])
def test_visits_of_unequal_numbers_of_episodes_serve_as_contexts(recurrent: bool) -> None:
    learner = make_learner(
        CollectionConfig(2, True, 4, 2, 1, 0, by_steps=True),
        LineFamily(edge=0.3),
        relabel=True,
        method="sac_v2",
        recurrent_encoder=recurrent,
        early_context_weight=0.1,
    )
    learner.collect_initial()
    learner.collect()
    assert isinstance(learner.replay, RelabelledReplay)
    assert {len(rows) for visit in learner.replay.episodes for rows in visit} > {0}
    assert all(torch.isfinite(value) for value in learner.learn_once().values())


def test_relabelling_gives_every_row_the_reward_of_its_own_task() -> None:
    learner = make_learner(CollectionConfig(1, False, 4, 2, 1, 0), relabel=True, method="sac_v2")
    learner.collect_initial()
    learner.collect()
    rows = torch.arange(12).reshape(2, 6)
    got = learner._transitions(rows, np.array([1, 4]))
    positions = learner.replay.store.columns["signals"][rows][..., 0]
    goals = torch.tensor([-0.6, 0.6])[:, None]
    torch.testing.assert_close(got["reward"], -(positions - goals).abs())


def test_only_task_independent_episodes_serve_as_context_of_another_task() -> None:
    learner = make_learner(CollectionConfig(1, False, 4, 2, 2, 0), relabel=True, method="sac_v2")
    learner.collect_initial()
    for _ in range(4):
        learner.collect()
    replay = learner.replay
    assert isinstance(replay, RelabelledReplay)
    owner = {}
    for task, episodes, prior in zip(replay.tasks, replay.episodes, replay.prior_counts, strict=True):
        for index, rows in enumerate(episodes):
            owner.update({int(row): (task, index < prior) for row in rows})
    generator = np.random.default_rng(0)
    foreign = 0
    for _ in range(50):
        drawn = replay.draw_contexts(8, 6, 6, generator)
        for task, rows in zip(drawn.tasks, drawn.rows.tolist(), strict=True):
            for row in rows:
                assert owner[row][0] == task or owner[row][1]
                foreign += owner[row][0] != task
    assert foreign > 0


def test_early_contexts_hold_prior_episodes_alone() -> None:
    learner = make_learner(CollectionConfig(1, False, 4, 2, 2, 0), relabel=True, method="sac_v2")
    learner.collect_initial()
    for _ in range(3):
        learner.collect()
    replay = learner.replay
    assert isinstance(replay, RelabelledReplay)
    late = {
        int(row)
        for episodes, prior in zip(replay.episodes, replay.prior_counts, strict=True)
        for rows in episodes[prior:]
        for row in rows
    }
    rows = replay.draw_early(60, 7, np.random.default_rng(0))
    assert late
    assert not late & set(rows.flatten().tolist())


def test_held_actions_stay_the_same_through_an_initial_episode() -> None:
    learner = make_learner(CollectionConfig(2, True, 1, 1, 0, 0))
    learner.collect_initial()
    actions = books(learner).store.columns["action"][:60, 0].reshape(12, 5)
    assert torch.equal(actions, actions[:, :1].expand(-1, 5))
    assert len(actions[:, 0].unique()) == 12


def test_contexts_of_a_sparse_reward_are_chosen_so_that_the_asked_share_of_them_pays() -> None:
    plan = CollectionConfig(3, True, 4, 2, 0, 0)
    for share, least, most in ((0.0, 0.0, 0.5), (0.75, 0.75, 0.75), (1.0, 1.0, 1.0)):
        learner = make_learner(
            plan,
            LineFamily(sparse=True),
            relabel=True,
            method="sac_v2",
            rewarded_context_share=share,
            meta_batch=40,
        )
        learner.collect_initial()
        tasks, rows = learner.draw_contexts(6)
        rewards = learner._transitions(rows, tasks)["sparse_reward"].sum(dim=1)
        assert len(tasks) == 40
        assert least <= float((rewards > 0).float().mean()) <= most
