# SPDX-License-Identifier: Apache-2.0
"""The embedding of tasks teaches the encoder and is taught by critics and bottleneck alone."""

from __future__ import annotations

import numpy as np
import torch

from meta_rl_core.pearl.agent import Agent
from meta_rl_core.pearl.batch import Batch
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.sac_v2 import SacV2Update
from tests.core.pearl.test_sac_v1 import SPEC, TASKS, make_batch

FEATURES = torch.arange(2.0 * TASKS).reshape(TASKS, 2) / TASKS


def make_update(**settings: object) -> SacV2Update:
    config = PearlConfig(
        "toy",
        actor_hidden=(16,),
        critic_hidden=(16,),
        encoder_hidden=(16,),
        method="sac_v2",
        **settings,  # type: ignore[arg-type]
    )
    generator = torch.Generator().manual_seed(0)
    return SacV2Update(SPEC, config, Agent(SPEC, config, generator, FEATURES), generator)


def taught_batch() -> Batch:
    return make_batch()._replace(task_features=FEATURES)


def losses(update: SacV2Update, batch: Batch) -> dict[str, torch.Tensor]:
    noise = torch.zeros(TASKS, update.config.latent_dim)
    return update.critic_losses(batch, noise, torch.zeros(batch.action.shape))[0]


def collects_gradient(module: torch.nn.Module | None) -> bool:
    assert module is not None
    return any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in module.parameters())


def test_tasks_that_are_told_do_not_need_their_context() -> None:
    update, batch = make_update(privileged_share=1.0), taught_batch()
    other = batch._replace(context=batch.context + 1.0)
    assert torch.equal(losses(update, batch)["critic_loss"], losses(update, other)["critic_loss"])
    assert not torch.equal(losses(update, batch)["inference_kl"], losses(update, other)["inference_kl"])


def test_half_a_share_tells_the_first_half_of_the_batch() -> None:
    update, batch = make_update(privileged_share=0.5), taught_batch()
    told, inferred = update._told(batch, (FEATURES, FEATURES)), update.agent.posterior(batch.context)
    mean, variance = update._mixed(told, inferred)
    half = round(0.5 * TASKS)
    assert torch.equal(mean[:half], told[0][:half]) and torch.equal(mean[half:], inferred[0][half:])
    assert torch.equal(variance[:half], told[1][:half]) and torch.equal(variance[half:], inferred[1][half:])


def test_inference_teaches_the_encoder_and_leaves_its_teacher_alone() -> None:
    update = make_update(privileged_share=0.5)
    losses(update, taught_batch())["inference_kl"].backward()
    assert collects_gradient(update.agent.encoder)
    assert not collects_gradient(update.agent.embedding)


def test_the_bellman_loss_teaches_the_embedding_and_still_the_encoder() -> None:
    update = make_update(privileged_share=0.5)
    losses(update, taught_batch())["critic_loss"].backward()
    assert collects_gradient(update.agent.embedding)
    assert collects_gradient(update.agent.encoder)


def test_without_a_share_there_is_no_embedding_and_nothing_to_infer() -> None:
    update = make_update()
    assert update.agent.embedding is None
    assert float(losses(update, taught_batch())["inference_kl"]) == 0.0


def test_repeated_steps_make_the_posterior_say_what_the_embedding_says() -> None:
    update, batch = (
        make_update(privileged_share=0.5, inference_weight=10.0, learning_rate=1e-2),
        taught_batch(),
    )
    before = float(losses(update, batch)["inference_kl"].detach())
    generator = torch.Generator().manual_seed(3)
    for _ in range(100):
        update.step(batch, generator)
    assert float(losses(update, batch)["inference_kl"].detach()) < 0.9 * before


def test_hypotheses_are_prior_samples_without_an_embedding_and_embedded_tasks_with_one() -> None:
    drawn = make_update().agent.hypotheses(3, np.random.default_rng(0))
    assert drawn.tolist() == np.random.default_rng(0).standard_normal((3, 5)).tolist()
    agent = make_update(privileged_share=0.5).agent
    assert agent.embedding is not None
    with torch.no_grad():
        agent.embedding.network.layers[-1].bias[5:] = -50.0  # type: ignore[index]
        means = agent.embedding(FEATURES)[0].double().numpy()
    for row in agent.hypotheses(20, np.random.default_rng(0)):
        assert np.abs(means - row).max(axis=1).min() < 0.01
