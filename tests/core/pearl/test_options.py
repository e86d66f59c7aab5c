# SPDX-License-Identifier: Apache-2.0
"""Options of the paper and the controls it is held against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from meta_rl_core.errors import CheckpointError, ContractError, InvalidValueError
from meta_rl_core.pearl.agent import context_dim
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.evaluation import evaluate
from meta_rl_core.pearl.export import export_parts
from meta_rl_core.pearl.presets import control_settings, make_config
from meta_rl_core.pearl.trainer import Trainer
from meta_rl_core.registry import load_family
from tests.helpers.small_runs import RELABELLED, small_config, small_learner
from tests.helpers.toy_family import LineFamily


def test_a_deterministic_latent_is_the_mean_of_the_encoders_outputs_and_nothing_is_sampled() -> None:
    learner = small_learner(deterministic_latent=True)
    context = torch.randn(2, 6, context_dim(learner.family.spec, learner.config))
    mean, variance = learner.agent.posterior(context)
    torch.testing.assert_close(mean, learner.agent.encoder.network(context).mean(dim=1))
    assert learner.agent.encoder.network(context).shape == (2, 6, learner.config.latent_dim)
    assert not variance.any()
    assert not learner.explorer.prior_z(np.zeros((4, 1)), learner.generator).any()


def test_a_deterministic_latent_learns_from_the_bellman_loss_and_pays_no_divergence() -> None:
    learner = small_learner(deterministic_latent=True, kl_weight=1e6)
    learner.collect_initial()
    learner.collect()
    before = [parameter.clone() for parameter in learner.agent.encoder.parameters()]
    losses = learner.learn_once()
    assert float(losses["kl_per_task"]) == 0.0
    moved = [(a - b).abs().max() for a, b in zip(learner.agent.encoder.parameters(), before, strict=True)]
    assert all(torch.isfinite(step) for step in moved)
    assert max(moved) > 0.0


def test_the_next_observation_enters_the_context_only_where_it_is_asked_for() -> None:
    observation, action, reward = torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), torch.ones(1, 1)
    for asked, expected in ((False, [0.0, 0.0, 1.0]), (True, [0.0, 0.0, 1.0, 9.0])):
        agent = small_learner(next_observation_in_context=asked).agent
        encoded = agent.encode_context(observation, action, reward, 9.0 + observation)
        assert encoded[0, 0].tolist() == expected


@pytest.mark.parametrize("settings", [{}, RELABELLED])
def test_an_oracle_acts_and_learns_on_the_task_itself(settings: dict[str, object]) -> None:
    learner = small_learner(control="oracle", latent_dim=1, **settings)
    # Six goals evenly from -1 to 1: mean 0, standard deviation sqrt(7 / 15).
    told = learner.explorer.known_z(np.array([[1.0], [0.0]]))
    np.testing.assert_allclose(told, [[np.sqrt(15.0 / 7.0)], [0.0]], atol=1e-12)
    acted: list[np.ndarray] = []
    episode = learner.explorer.episode

    def spy(tasks, z, *arguments, **options):  # type: ignore[no-untyped-def]
        acted.append(z - learner.explorer.known_z(tasks))
        return episode(tasks, z, *arguments, **options)

    learner.explorer.episode = spy  # type: ignore[method-assign]
    learner.collect_initial()
    learner.collect()
    evaluate(
        learner.explorer, np.ones((2, 1)), episodes=2, exploration_episodes=1, generator=learner.generator
    )
    assert len(acted) >= 5
    assert all(not difference.any() for difference in acted)
    before = [parameter.clone() for parameter in learner.agent.encoder.parameters()]
    losses = learner.learn_once()
    assert all(torch.isfinite(value) for value in losses.values())
    assert float(losses["kl_per_task"]) == 0.0
    assert all(torch.equal(a, b) for a, b in zip(learner.agent.encoder.parameters(), before, strict=True))


@pytest.mark.parametrize("settings", [{}, RELABELLED])
def test_a_blind_policy_acts_and_learns_on_nothing_of_the_task(settings: dict[str, object]) -> None:
    learner = small_learner(control="blind", latent_dim=1, **settings)
    learner.collect_initial()
    batch = learner.make_batch()
    assert batch.known_z is not None
    assert not batch.known_z.any()
    assert not learner.explorer.prior_z(np.ones((3, 1)), learner.generator).any()
    acted: list[np.ndarray] = []
    episode = learner.explorer.episode

    def spy(tasks, z, *arguments, **options):  # type: ignore[no-untyped-def]
        acted.append(z)
        return episode(tasks, z, *arguments, **options)

    learner.explorer.episode = spy  # type: ignore[method-assign]
    learner.collect()
    evaluate(
        learner.explorer, np.ones((2, 1)), episodes=3, exploration_episodes=1, generator=learner.generator
    )
    assert len(acted) >= 5
    assert not any(z.any() for z in acted)
    losses = learner.learn_once()
    assert all(torch.isfinite(value) for value in losses.values())
    assert float(losses["kl_per_task"]) == 0.0


@pytest.mark.parametrize("control", ["oracle", "blind"])
@pytest.mark.parametrize("family", ["dclaw-turn", "cheetah-vel", "sparse-point-robot", "dclaw-turn-dynamics"])
def test_a_control_that_infers_nothing_takes_no_teacher_from_its_preset(control: str, family: str) -> None:
    settings = control_settings(control, load_family(family).spec)
    config = make_config(family, "fast", **settings)
    assert (config.privileged_share, config.distillation_updates, config.infers) == (0.0, 0, False)
    with pytest.raises(InvalidValueError, match="infers nothing; set privileged_share=0"):
        make_config(family, "fast", **{**settings, "privileged_share": 0.5})


def test_an_oracle_needs_a_latent_of_the_size_of_the_task() -> None:
    with pytest.raises(ContractError, match="latent_dim must be 1, got 5"):
        small_learner(control="oracle")


def test_a_policy_without_a_belief_trains_but_is_no_bundle(tmp_path: Path) -> None:
    for name, settings in (
        ("point", {"deterministic_latent": True}),
        ("oracle", {"control": "oracle", "latent_dim": 1}),
        ("blind", {"control": "blind", "latent_dim": 1}),
    ):
        config = small_config("tests.helpers.toy_family:LineFamily", **settings)
        Trainer(LineFamily(), config, tmp_path / name).run()
        Trainer(LineFamily(), config, tmp_path / name, resume=True)
        with pytest.raises(CheckpointError, match="has none"):
            export_parts(tmp_path / name, "last", "2026-01-01")


def test_a_deterministic_latent_belongs_to_the_published_update() -> None:
    with pytest.raises(InvalidValueError, match="option of the published update"):
        PearlConfig("line", deterministic_latent=True, method="sac_v2")
    with pytest.raises(InvalidValueError, match="control must be one of none, oracle, recurrent, blind"):
        PearlConfig("line", control="recurent")  # type: ignore[arg-type]


def test_a_bounded_number_of_environment_steps_ends_the_run_and_scales_the_learning_rate(
    tmp_path: Path,
) -> None:
    # 6 tasks x 1 episode x 5 steps at first, then 2 tasks x 2 episodes x 5 steps an iteration: 30, 50, 70, 90.
    config = small_config(environment_steps=80, learning_rate_decay=0.1)
    trainer = Trainer(LineFamily(), config, tmp_path)
    trainer.run()
    assert (trainer.learner.env_steps, trainer.learner.share_done()) == (90, 1.0)
    rates = {group["lr"] for o in trainer.learner.update.optimisers().values() for group in o.param_groups}
    assert list(rates) == [pytest.approx(0.1 * 3e-4)]


@pytest.mark.parametrize(
    ("start", "steps", "share"),
    # From half of 100 steps on it falls to a tenth, at 75 it is half way; or not before 80, and at 90 it is.
    [(0.5, 50, 1.0), (0.5, 75, 0.55), (0.5, 100, 0.1), (0.8, 80, 1.0), (0.8, 90, 0.55), (0.8, 100, 0.1)],
)
def test_the_learning_rate_falls_from_where_it_is_told_to(start: float, steps: int, share: float) -> None:
    settings = {"learning_rate_decay": 0.1, "learning_rate_decay_from": start}
    learner = small_learner(environment_steps=100, **settings)
    learner.env_steps = steps
    learner._set_learning_rate()
    assert learner.update.optimisers()["actor"].param_groups[0]["lr"] == pytest.approx(share * 3e-4)


def test_a_learning_rate_that_would_never_fall_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"learning_rate_decay_from must lie in \[0, 1\), got 1.0"):
        PearlConfig("line", learning_rate_decay_from=1.0)
