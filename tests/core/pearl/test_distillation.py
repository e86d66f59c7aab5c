# SPDX-License-Identifier: Apache-2.0
"""In the last phase encoder and actor learn to act on context as the actor acts when told the task."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from meta_rl_core.errors import CheckpointError, InvalidValueError
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.distillation import Distillation
from meta_rl_core.pearl.learner import Learner
from meta_rl_core.pearl.trainer import Trainer
from tests.helpers.small_runs import RELABELLED, small_config
from tests.helpers.toy_family import LineFamily


def make_config(**settings: object) -> PearlConfig:
    values: dict[str, object] = {
        **RELABELLED,
        "iterations": 2,
        "privileged_share": 0.5,
        "distillation_updates": 200,
        "distillation_learning_rate": 1e-2,
    }
    return small_config(**{**values, **settings})


def make_distillation(**settings: object) -> Distillation:
    learner = Learner(LineFamily(), make_config(**settings))
    learner.collect_initial()
    with torch.no_grad():
        # A teacher with something to teach: its action depends on the task it is told.
        for agent in (learner.averaged,):
            assert agent.embedding is not None
            agent.embedding.network.layers[-1].weight.normal_(generator=torch.Generator().manual_seed(0))
            agent.actor.network.layers[-1].weight.normal_(generator=torch.Generator().manual_seed(1))
    return Distillation(learner)


@pytest.mark.parametrize("relabel", [True, False])
def test_the_student_comes_to_act_as_the_teacher_and_the_teacher_stays_as_it_was(relabel: bool) -> None:
    distillation = make_distillation(relabel=relabel)
    taught = [parameter.clone() for parameter in distillation.teacher.parameters()]
    losses = [float(distillation.step()["imitation_loss"]) for _ in range(200)]
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])
    assert all(torch.equal(a, b) for a, b in zip(taught, distillation.teacher.parameters(), strict=True))


def test_imitation_teaches_encoder_and_actor_but_not_the_embedding() -> None:
    distillation = make_distillation()
    learner = distillation.learner
    tasks, rows = learner.draw_contexts(6)
    losses = distillation.losses(
        learner.encode(rows, tasks),
        learner.task_features[torch.from_numpy(tasks)],
        torch.zeros(3, 5, 1),
    )
    losses["imitation_loss"].backward(retain_graph=True)
    student = distillation.student
    assert student.embedding is not None
    assert all(parameter.grad is None for parameter in student.embedding.parameters())
    for network in (student.encoder, student.actor):
        assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in network.parameters())
    losses["embedding_loss"].backward()
    assert all(parameter.grad is not None for parameter in student.embedding.parameters())


def test_the_learning_rate_falls_over_the_second_half() -> None:
    distillation = make_distillation()
    rates = []
    for _ in range(200):
        distillation.step()
        rates.append(distillation.optimiser.param_groups[0]["lr"])
    assert rates[0] == rates[100] == 1e-2
    assert rates[150] == pytest.approx(0.5e-2)
    assert rates[199] == pytest.approx(1e-4)


@pytest.mark.parametrize("recurrent", [False, True])
def test_a_run_ends_with_it_once_and_keeps_what_it_made(tmp_path: Path, recurrent: bool) -> None:
    config = make_config(distillation_updates=3, recurrent_encoder=recurrent)
    trainer = Trainer(LineFamily(), config, tmp_path)
    trainer.run()
    with (tmp_path / "progress.csv").open(newline="") as file:
        before = list(csv.DictReader(file))
    assert [row["iteration"] for row in before] == ["1", "2", "2"]
    resumed = Trainer(LineFamily(), config, tmp_path, resume=True)
    resumed.run()
    for name, value in trainer.learner.averaged.state_dict().items():
        assert torch.equal(value, resumed.learner.averaged.state_dict()[name])
    with (tmp_path / "progress.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 3


def test_its_settings_may_change_until_it_begins_and_then_no_more(tmp_path: Path) -> None:
    Trainer(LineFamily(), make_config(distillation_updates=0), tmp_path).run()
    longer = make_config(distillation_updates=4, distillation_kl_weight=0.5, distillation_learning_rate=0.1)
    resumed = Trainer(LineFamily(), longer, tmp_path, resume=True)
    resumed.run()
    assert (resumed.progress["iteration"], resumed.progress["distillation_done"]) == (2, 4)
    with pytest.raises(
        CheckpointError, match=r"saved 4, asked 5\); only iterations, environment_steps may change"
    ):
        Trainer(LineFamily(), make_config(distillation_updates=5), tmp_path, resume=True)


def test_without_a_teacher_there_is_nothing_to_distil() -> None:
    with pytest.raises(InvalidValueError, match="needs a teacher"):
        make_config(privileged_share=0.0)
