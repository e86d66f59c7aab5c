# SPDX-License-Identifier: Apache-2.0
"""What a run scores while it trains: held-out tasks, training tasks, and those with what the replay says of them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.pearl.agent import Agent
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.planned_evaluation import planned_scores
from meta_rl_core.pearl.plans import EvaluationConfig
from meta_rl_core.pearl.rollout import Explorer
from meta_rl_core.pearl.trainer import Trainer
from meta_rl_core.tasks import Array
from tests.helpers.small_runs import RELABELLED, small_config, small_explorer, small_learner
from tests.helpers.toy_family import LineFamily

REPLAY = EvaluationConfig(1, 2, 2, 1, training_tasks=3, replay_posterior=True)


def test_a_plan_asks_for_runs_on_each_task_and_for_scores_of_training_tasks() -> None:
    explorer = small_explorer()
    with torch.no_grad():
        explorer.agent.actor.network.layers[-1].weight.zero_()
        explorer.agent.actor.network.layers[-1].bias.zero_()
    posed: list[Array] = []
    episode = explorer.episode

    def spy(tasks, *arguments, **options):  # type: ignore[no-untyped-def]
        posed.append(tasks[:, 0])
        return episode(tasks, *arguments, **options)

    explorer.episode = spy  # type: ignore[method-assign]
    scores = planned_scores(explorer, EvaluationConfig(tasks=2, runs=3, training_tasks=99))
    heldout = explorer.family.heldout_tasks(2, 7)[:, 0]
    np.testing.assert_array_equal(posed[0], np.repeat(heldout, 3))
    # The six training tasks, -1 to 1 in steps of 0.4, each three times: mean distance 0.6 for five steps.
    np.testing.assert_array_equal(np.sort(posed[3]), np.repeat(explorer.family.training_tasks()[:, 0], 3))
    assert scores["return_training_adapted"] == pytest.approx(-3.0)
    assert scores["return_adapted"] == pytest.approx(-5.0 * np.abs(heldout).mean())
    plain = planned_scores(small_explorer(), EvaluationConfig(tasks=2))
    assert not any("training" in name for name in plain)


def test_training_tasks_are_scored_on_what_the_replay_says_of_each() -> None:
    explorer = small_explorer()
    asked: list[Array] = []
    contexts = torch.randn(12, 7, 3, generator=torch.Generator().manual_seed(3))

    def draw(tasks, generator):  # type: ignore[no-untyped-def]
        asked.append(tasks)
        return contexts, None

    posed: list[tuple[Array, Array]] = []
    episode = explorer.episode

    def spy(tasks, z, *arguments, **options):  # type: ignore[no-untyped-def]
        posed.append((tasks[:, 0], z))
        return episode(tasks, z, *arguments, **options)

    explorer.episode = spy  # type: ignore[method-assign]
    plan = EvaluationConfig(
        tasks=1, episodes=2, exploration_episodes=1, training_tasks=99, replay_posterior=True
    )
    scores = planned_scores(explorer, plan, draw)
    # Each of the six training tasks twice, and of each what was drawn for it, at once: no episode explores.
    tasks, z = posed[-1]
    np.testing.assert_array_equal(tasks, explorer.family.training_tasks()[asked[0], 0])
    np.testing.assert_array_equal(np.sort(asked[0]), np.repeat(np.arange(6), 2))
    with torch.no_grad():
        mean, variance = explorer.agent.posterior(contexts)
    away = (z - mean.numpy()) / variance.sqrt().numpy()
    assert np.abs(away).max() < 4.0
    assert away.std() == pytest.approx(1.0, abs=0.3)
    assert len(posed) == 2 + 2 + 1
    assert scores["return_training_replay"] < 0.0
    again = planned_scores(small_explorer(), plan, draw)
    assert again == scores, (
        "what the replay is asked for must not change the other scores, nor draw anything new"
    )
    assert "return_training_replay" not in planned_scores(small_explorer(), plan)


def test_contexts_out_of_the_replay_are_the_tasks_own() -> None:
    learner = small_learner()
    learner.collect_initial()
    tasks = np.array([3, 3, 0])
    contexts, starts = learner.replay_contexts(tasks, np.random.default_rng(0))
    assert (tuple(contexts.shape[:2]), starts) == ((3, learner.config.context_size), None)
    for task, context in zip(tasks, contexts, strict=True):
        own = torch.from_numpy(learner.replay.context_rows[task][None])  # type: ignore[union-attr]
        known = {tuple(row) for row in learner.encode(own, np.array([task]))[0].tolist()}
        assert {tuple(row) for row in context.tolist()} <= known
    assert not torch.equal(contexts[0], contexts[1])


def test_a_run_writes_the_score_and_learns_the_same_without(tmp_path: Path) -> None:
    rows = []
    for name, plan in (("with", REPLAY), ("without", EvaluationConfig(1, 2, 2, 1, training_tasks=3))):
        Trainer(LineFamily(), small_config(evaluation=plan), tmp_path / name).run()
        with (tmp_path / name / "progress.csv").open(newline="") as file:
            rows.extend(csv.DictReader(file))
    score = rows[0].pop("return_training_replay")
    assert float(score) < 0.0
    for row in rows:
        del row["wall_s"]
    assert rows[0] == rows[1]


def test_controls_that_infer_nothing_have_no_such_score(tmp_path: Path) -> None:
    config = small_config(evaluation=REPLAY, control="oracle", latent_dim=1)
    Trainer(LineFamily(), config, tmp_path).run()
    assert "return_training_replay" not in (tmp_path / "progress.csv").read_text()


def test_told_its_task_an_actor_earns_what_the_embedding_lets_it() -> None:
    family = LineFamily()
    config = PearlConfig("line", actor_hidden=(), encoder_hidden=(8,), latent_dim=1, privileged_share=0.5)
    features = torch.as_tensor(family.task_features(family.training_tasks()), dtype=torch.float32)
    agent = Agent(family.spec, config, torch.Generator().manual_seed(0), features)
    explorer = Explorer(family, agent)
    assert agent.embedding is not None
    calls: list[Array] = []

    def embed(given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(given.numpy())
        return torch.sign(given[:, :1]), torch.full((len(given), 1), 9.0)

    agent.embedding.forward = embed  # type: ignore[method-assign]
    with torch.no_grad():  # the action is tanh(50 z): full speed to where z says
        for value in agent.actor.parameters():
            value.zero_()
        agent.actor.network.layers[-1].weight[0, -1] = 50.0
    plan = EvaluationConfig(tasks=4, runs=2)
    scores = planned_scores(explorer, plan)
    goals = family.heldout_tasks(4, plan.seed)
    np.testing.assert_allclose(calls[-1], family.task_features(np.repeat(goals, 2, axis=0)), rtol=1e-6)
    # 0.2 m a step on the goal's side for five steps, whatever the embedding's variance.
    distances = np.abs(np.abs(goals) - 0.2 * np.arange(1, 6))
    assert scores["return_told"] == pytest.approx(-distances.sum(axis=1).mean(), rel=1e-6)
    assert "return_told" not in planned_scores(small_explorer(), plan), "without an embedding nobody knows"


def test_it_is_refused_where_no_task_has_a_context_of_its_own() -> None:
    with pytest.raises(InvalidValueError, match=r"replay_posterior .* needs relabel=false"):
        small_config(**RELABELLED, evaluation=REPLAY)
    with pytest.raises(InvalidValueError, match=r"set evaluation\.training_tasks to how many"):
        EvaluationConfig(replay_posterior=True)
