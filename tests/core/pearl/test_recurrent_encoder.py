# SPDX-License-Identifier: Apache-2.0
"""A recurrent encoder reads in order, forgets between episodes and says the same streaming as in a batch."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from meta_rl_core.errors import CheckpointError, InvalidValueError
from meta_rl_core.networks.recurrent_encoder import RecurrentEncoder, episode_ends
from meta_rl_core.pearl.agent import Agent, context_dim
from meta_rl_core.pearl.batch import Batch
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.export import export_parts
from meta_rl_core.pearl.learner import Learner
from meta_rl_core.pearl.plans import CollectionConfig
from meta_rl_core.pearl.presets import control_settings
from meta_rl_core.pearl.replay import TaskReplay
from meta_rl_core.pearl.sequences import draw_stretch
from meta_rl_core.pearl.trainer import Trainer
from meta_rl_core.pearl.visits import RelabelledReplay
from tests.helpers.small_runs import RELABELLED, small_config
from tests.helpers.toy_family import LineFamily

RECURRENT: dict[str, object] = {
    "recurrent_encoder": True,
    "encoder_hidden": (8, 12),
    "context_size": 7,
    "collection": CollectionConfig(2, False, 3, 2, 0, 1),
}
VISITS = {**RELABELLED, "collection": CollectionConfig(2, False, 3, 2, 1, 0)}
STARTS = torch.tensor([[True, False, False, True, False, False, False]])


def make_config(**settings: object) -> PearlConfig:
    return small_config("tests.helpers.toy_family:LineFamily", **{**RECURRENT, **settings})


def make_learner(family: LineFamily | None = None, **settings: object) -> Learner:
    return Learner(family or LineFamily(), make_config(**settings))


def make_agent(**settings: object) -> Agent:
    """An agent whose last layer says something, unlike a fresh one."""
    agent = make_learner(**settings).agent
    assert isinstance(agent.encoder, RecurrentEncoder)
    with torch.no_grad():
        for parameter in agent.encoder.head.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(5))
    return agent


def make_context(agent: Agent, count: int = 7) -> Tensor:
    width = context_dim(LineFamily().spec, agent.config)
    return torch.randn((1, count, width), generator=torch.Generator().manual_seed(1))


def test_the_order_of_transitions_matters_and_the_order_of_episodes_does_not() -> None:
    agent = make_agent()
    context = make_context(agent)
    mean, variance = agent.posterior(context, STARTS)
    within, _ = agent.posterior(context[:, [0, 2, 1, 3, 4, 5, 6]], STARTS)
    assert float((within - mean).detach().abs().max()) > 1e-3
    starts = torch.tensor([[True, False, False, False, True, False, False]])
    swapped = agent.posterior(context[:, [3, 4, 5, 6, 0, 1, 2]], starts)
    torch.testing.assert_close(swapped, (mean, variance))


@pytest.mark.parametrize("prior", [0.0, 1.0])
def test_each_episode_is_one_factor_read_with_a_state_of_its_own(prior: float) -> None:
    agent = make_agent(prior_in_product=prior > 0.0)
    context = make_context(agent)
    assert isinstance(agent.encoder, RecurrentEncoder)
    alone = torch.tensor([[True, False, False, False]])
    factors = [
        [part[:, -1] for part in agent.encoder(context[:, a:b], alone[:, : b - a])]
        for a, b in ((0, 3), (3, 7))
    ]
    # Two Gaussians, and the prior as a third where it counts: precisions add, means are weighted by them.
    precision = prior + sum(1.0 / variance for _, variance in factors)
    weighted = sum(mean / variance for mean, variance in factors)
    torch.testing.assert_close(agent.posterior(context, STARTS), (weighted / precision, 1.0 / precision))
    unbroken, _ = agent.posterior(context)
    assert float((unbroken - weighted / precision).detach().abs().max()) > 1e-3


def test_a_fresh_network_is_as_sure_as_a_product_over_all_transitions_would_make_it() -> None:
    agent = make_learner().agent
    assert isinstance(agent.encoder, RecurrentEncoder)
    with torch.no_grad():
        for parameter in agent.encoder.head.parameters():
            parameter.zero_()
    # softplus(0) = ln 2 for each of 3 + 4 transitions.
    _, variance = agent.posterior(make_context(agent), STARTS)
    torch.testing.assert_close(variance, torch.full((1, 5), math.log(2.0) / 7.0))


def test_episodes_end_before_the_next_begins_and_with_the_context() -> None:
    assert episode_ends(STARTS).tolist() == [[False, False, True, False, False, False, True]]


@pytest.mark.parametrize(("window", "learning"), [(1, [2, 6]), (2, [1, 2, 5, 6]), (64, list(range(7)))])
def test_gradients_reach_the_last_transitions_of_each_episode_and_none_before(
    window: int, learning: list[int]
) -> None:
    agent = make_agent(recurrent_window=window)
    context = make_context(agent).requires_grad_()
    mean, variance = agent.posterior(context, STARTS)
    (mean.sum() + variance.sum()).backward()
    assert context.grad is not None
    reached = context.grad[0].abs().sum(dim=-1).nonzero().flatten().tolist()
    assert reached == learning
    # What is taken as given still counts: the state before the window is what it is without truncation.
    torch.testing.assert_close(mean, make_agent().posterior(context, STARTS)[0])


@pytest.mark.parametrize("settings", [{}, {"prior_in_product": True}, {"deterministic_latent": True}])
def test_reading_while_it_is_lived_gives_the_posterior_of_the_whole_context(
    settings: dict[str, object],
) -> None:
    # Worlds end at different times: beyond 0.25, two to five steps of up to 0.2.
    family = LineFamily(edge=0.25)
    agent = make_agent(**settings)
    learner = make_learner(family, **settings)
    learner.agent.load_state_dict(agent.state_dict())
    generator = np.random.default_rng(3)
    tasks, z = np.linspace(-1.0, 1.0, 6)[:, None], generator.standard_normal((6, 5))
    lived = [
        learner.explorer.episode(tasks, z, generator, deterministic=False, held_action=held)
        for held in (None, np.linspace(-1.0, 1.0, 6)[:, None], None)
    ]
    assert len({int(count) for episode in lived for count in episode.valid.sum(axis=1)}) > 1
    streamed = learner.explorer.infer(lived, "mean", generator)
    encoder = learner.agent.encoder
    assert isinstance(encoder, RecurrentEncoder)
    _, std = learner.explorer._streamed(
        encoder, lived, [learner.explorer._encoded(episode) for episode in lived]
    )
    for world in range(6):
        rows = [episode.valid[world] for episode in lived]
        parts = [
            learner.explorer._encoded(episode)[world, torch.from_numpy(row)]
            for episode, row in zip(lived, rows, strict=True)
        ]
        starts = torch.cat([torch.arange(len(part)) == 0 for part in parts])
        with torch.no_grad():
            mean, variance = learner.agent.posterior(torch.cat(parts)[None], starts[None])
        np.testing.assert_allclose(streamed[world], mean[0], atol=1e-5)
        np.testing.assert_allclose(std[world], variance[0].sqrt(), atol=1e-5)


def test_before_anything_is_seen_the_belief_is_the_prior() -> None:
    from meta_rl_core.pearl.stream import BeliefStream

    encoder = make_agent().encoder
    assert isinstance(encoder, RecurrentEncoder)
    mean, variance = BeliefStream(encoder, 2, prior_in_product=False).belief()
    assert mean.tolist() == [[0.0] * 5] * 2
    assert variance.tolist() == [[1.0] * 5] * 2


@pytest.mark.parametrize("settings", [{}, VISITS])
def test_contexts_are_stretches_in_the_order_lived_that_know_where_episodes_begin(
    settings: dict[str, object],
) -> None:
    learner = make_learner(context_size=12, **settings)
    learner.collect_initial()
    learner.collect()
    if isinstance(learner.replay, TaskReplay):
        pools = [[book] for book in learner.replay.context_rows]
        rows = learner.replay.sample_context(np.arange(6), 12, learner.generator)
    else:
        assert isinstance(learner.replay, RelabelledReplay)
        # A stretch goes round within the first k episodes of some visit.
        pools = [[np.concatenate(visit[:k]) for visit in learner.replay.episodes for k in (1, 2, 3)]] * 6
        rows = learner.replay.draw_contexts(6, 12, 6, learner.generator).rows
    starts = learner.episode_starts(rows)
    assert starts is not None
    for index, row in enumerate(rows.numpy()):
        rounds = [
            np.resize(np.roll(pool, -int(np.flatnonzero(pool == row[0])[0])), 12)
            for pool in pools[index]
            if row[0] in pool
        ]
        assert any(np.array_equal(row, whole) for whole in rounds)
        # Episodes are 5 steps long and stored one after the other.
        assert starts[index].tolist() == [stored % 5 == 0 for stored in row]


def test_a_stretch_begins_with_an_episode_unless_episodes_are_longer_than_it() -> None:
    # Episodes of 3, 1 and 4 transitions.
    first = np.array([True, False, False, True, True, False, False, False])
    generator = np.random.default_rng(0)
    long, short = (
        {tuple(draw_stretch(first, size, generator).tolist()) for _ in range(200)} for size in (5, 3)
    )
    assert long == {(0, 1, 2, 3, 4), (3, 4, 5, 6, 7), (4, 5, 6, 7, 0)}
    assert short == {(n, (n + 1) % 8, (n + 2) % 8) for n in range(8)}


@pytest.mark.parametrize("control", ["none", "recurrent"])
def test_after_200_updates_z_tells_the_critics_the_task(control: str) -> None:
    learning = {
        "latent_dim": 2,
        "meta_batch": 6,
        "batch_size": 32,
        "context_size": 10,
        "encoder_hidden": (24, 24),
        "critic_hidden": (64, 64),
        "learning_rate": 5e-3,
        "target_rate": 0.02,
        "discount": 0.5,
        "kl_weight": 0.001,
        "collection": CollectionConfig(10, False, 6, 2, 0, 1),
    }
    spec = LineFamily().spec
    learner = make_learner(**{**learning, **control_settings(control, spec)})
    learner.collect_initial()
    for _ in range(200):
        learner.learn_once()
    tasks, generator = np.arange(6), np.random.default_rng(0)
    assert isinstance(learner.replay, TaskReplay)
    contexts = learner.replay.sample_context(tasks, 10, generator)
    rows = learner._transitions(learner.replay.sample_rl(tasks, 64, generator), tasks)
    batch = Batch(
        *(rows[name] for name in ("observation", "action", "reward", "next_observation", "terminal")),
        context=learner.encode(contexts, tasks),
        context_starts=learner.episode_starts(contexts),
    )
    with torch.no_grad():
        z, _ = learner.agent.belief(batch)
        own, other = (
            float(learner.update._critic_loss(batch, hypothesis.unsqueeze(1).expand(-1, 64, -1)))  # type: ignore[call-arg]
            for hypothesis in (z, z.roll(3, dims=0))
        )
    # Goals three tasks apart are 1.2 apart; the reward alone then misses by about (5 * 1.2)^2 for each critic.
    assert own < 0.4 * other


def test_a_recurrent_policy_resumes_but_is_no_bundle(tmp_path: Path) -> None:
    for name, settings, said in (
        ("posterior", {}, "needs a state"),
        ("control", control_settings("recurrent", LineFamily().spec), "trained with control recurrent"),
    ):
        config = make_config(**settings)
        Trainer(LineFamily(), config, tmp_path / name).run()
        resumed = Trainer(LineFamily(), config, tmp_path / name, resume=True)
        assert 5 * resumed.learner.replay.store.first_step.sum() == resumed.learner.env_steps
        with pytest.raises(CheckpointError, match=said):
            export_parts(tmp_path / name, "last", "2026-01-01")


@pytest.mark.parametrize("settings", [{}, {**VISITS, "early_context_weight": 0.1}])
def test_the_recurrent_control_learns_from_values_alone_and_never_samples(
    settings: dict[str, object],
) -> None:
    learner = make_learner(kl_weight=1e6, **{**settings, **control_settings("recurrent", LineFamily().spec)})
    learner.collect_initial()
    assert not learner.explorer.prior_z(np.zeros((4, 1)), learner.generator).any()
    learner.collect()
    batch = learner.make_batch()
    mean, variance = learner.agent.belief(batch)
    assert mean.abs().max() > 0.0
    assert not variance.any()
    before = [parameter.clone() for parameter in learner.agent.encoder.parameters()]
    losses = learner.learn_once()
    assert float(losses["kl_per_task"]) == 0.0
    assert all(torch.isfinite(value) for value in losses.values())
    after = learner.agent.encoder.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(after, before, strict=True))
    assert all(torch.isfinite(parameter).all() for parameter in learner.agent.encoder.parameters())


def test_with_critics_that_ignore_z_nothing_teaches_the_recurrent_control() -> None:
    learner = make_learner(**{**VISITS, **control_settings("recurrent", LineFamily().spec)})
    learner.collect_initial()
    with torch.no_grad():
        for network in (learner.update.critic.first, learner.update.critic.second):
            network.layers[0].weight[:, -learner.config.latent_dim :] = 0.0
    before = [parameter.clone() for parameter in learner.agent.encoder.parameters()]
    learner.learn_once()
    after = learner.agent.encoder.parameters()
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


def test_settings_that_do_not_fit_a_recurrent_encoder_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="at least one width in encoder_hidden"):
        make_config(encoder_hidden=())
    with pytest.raises(InvalidValueError, match="recurrent_window must be at least 1, got 0"):
        make_config(recurrent_window=0)
    with pytest.raises(InvalidValueError, match=r"no meta loss and needs.*got reward_prediction_weight 1\.0"):
        make_config(**{**control_settings("recurrent", LineFamily().spec), "reward_prediction_weight": 1.0})
