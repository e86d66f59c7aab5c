# SPDX-License-Identifier: Apache-2.0
"""Runs resume with the very same numbers, stop cleanly and really learn."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from meta_rl_core.errors import (
    CheckpointError,
    ContractError,
    InvalidValueError,
    TrainingDivergedError,
    UnknownNameError,
)
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.plans import CollectionConfig, EvaluationConfig
from meta_rl_core.pearl.presets import PRESETS, make_config
from meta_rl_core.pearl.trainer import Trainer
from meta_rl_core.registry import load_family
from tests.helpers.small_runs import RELABELLED, small_config, small_learner
from tests.helpers.toy_family import LineFamily


def rows(directory: Path) -> list[dict[str, str]]:
    with (directory / "progress.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "wall_s"} for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"recurrent_encoder": True},
        {
            **RELABELLED,
            "reward_prediction_weight": 1.0,
            "early_context_weight": 0.1,
            "aggregate_weight": 0.1,
            "averaging_rate": 0.1,
        },
        {**RELABELLED, "normalise_observations": True},
    ],
)
def test_a_resumed_run_has_the_same_curve_as_one_that_was_never_stopped(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    Trainer(LineFamily(), small_config(iterations=6, **settings), tmp_path / "whole").run()
    Trainer(LineFamily(), small_config(iterations=3, **settings), tmp_path / "parts").run()
    Trainer(LineFamily(), small_config(iterations=6, **settings), tmp_path / "parts", resume=True).run()
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    assert len(rows(tmp_path / "parts")) == 6


def test_a_run_ends_with_an_evaluation_of_what_it_made(tmp_path: Path) -> None:
    every_second = EvaluationConfig(2, 3, 3, 1)
    Trainer(LineFamily(), small_config(iterations=3, evaluation=every_second), tmp_path).run()
    assert [row["iteration"] for row in rows(tmp_path)] == ["2", "3"]


def test_rows_written_after_the_last_checkpoint_of_a_killed_run_do_not_appear_twice(tmp_path: Path) -> None:
    trainer = Trainer(LineFamily(), small_config(iterations=2), tmp_path)
    trainer.run()
    trainer._log.add(
        {**{key: "0" for key in rows(tmp_path)[0]}, "wall_s": 0.0, "updates": 999, "env_steps": 1}
    )
    Trainer(LineFamily(), small_config(iterations=3), tmp_path, resume=True).run()
    assert [row["updates"] for row in rows(tmp_path)] == ["3", "6", "9"]


def test_a_run_folder_is_never_overwritten(tmp_path: Path) -> None:
    Trainer(LineFamily(), small_config(iterations=1), tmp_path).run()
    with pytest.raises(CheckpointError, match="--resume"):
        Trainer(LineFamily(), small_config(iterations=1), tmp_path)


def test_other_settings_or_a_damaged_checkpoint_refuse_to_resume(tmp_path: Path) -> None:
    Trainer(LineFamily(), small_config(iterations=1), tmp_path).run()
    with pytest.raises(CheckpointError, match="meta_batch: saved 3, asked 4"):
        Trainer(LineFamily(), small_config(iterations=2, meta_batch=4), tmp_path, resume=True)
    weights = tmp_path / "checkpoint" / "networks.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        Trainer(LineFamily(), small_config(iterations=2), tmp_path, resume=True)


def change_state(directory: Path, **values: object) -> None:
    file = directory / "checkpoint" / "state.json"
    state = {**json.loads(file.read_text()), **values}
    file.write_text(json.dumps({key: value for key, value in state.items() if value is not None}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 4}, "has version 4, this build reads version 3"),
        ({"version": None}, "has version None, this build reads version 3"),
        ({"version": 1, "replay_total": 5001}, "has version 1, this build reads version 3"),
        ({"family": "circle"}, "belongs to family 'circle', not 'line'"),
        ({"config": {"family": "line", "no_such": 1}}, "holds settings this build does not know"),
        ({"replay_total": None}, "'replay_total' is missing"),
        ({"generator": 7}, "no usable checkpoint"),
    ],
)
def test_a_checkpoint_of_another_version_or_family_is_refused_before_anything_is_touched(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    Trainer(LineFamily(), small_config(iterations=1), tmp_path).run()
    change_state(tmp_path, **changes)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match=said):
        Trainer(LineFamily(), small_config(iterations=2), tmp_path, resume=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_weights_of_another_shape_under_the_same_settings_are_refused(tmp_path: Path) -> None:
    for name, width in (("run", 8), ("other", 9)):
        Trainer(LineFamily(), small_config(iterations=1, actor_hidden=(width,)), tmp_path / name).run()
    files = [tmp_path / name / "checkpoint" / "networks.safetensors" for name in ("run", "other")]
    files[0].write_bytes(files[1].read_bytes())
    with pytest.raises(CheckpointError, match=r"(?s)no usable checkpoint.*size mismatch"):
        Trainer(LineFamily(), small_config(iterations=2), tmp_path / "run", resume=True)


def test_a_crash_while_swapping_checkpoints_leaves_the_previous_one_usable(tmp_path: Path) -> None:
    Trainer(LineFamily(), small_config(iterations=1), tmp_path).run()
    (tmp_path / "checkpoint").rename(tmp_path / "checkpoint.previous")
    Trainer(LineFamily(), small_config(iterations=2), tmp_path, resume=True).run()
    assert len(rows(tmp_path)) == 2


def test_a_loss_that_is_not_finite_stops_the_run_names_the_term_and_keeps_the_checkpoint(
    tmp_path: Path,
) -> None:
    trainer = Trainer(LineFamily(), small_config(iterations=3), tmp_path)
    trainer.run()
    with torch.no_grad():
        trainer.learner.update.value.network.layers[-1].bias.fill_(np.nan)
    with pytest.raises(TrainingDivergedError, match="value_loss"):
        trainer._learn()
    Trainer(LineFamily(), small_config(iterations=4), tmp_path, resume=True).run()


def test_settings_out_of_range_name_the_field_and_what_is_allowed() -> None:
    with pytest.raises(InvalidValueError, match="discount"):
        PearlConfig("line", discount=1.5)
    with pytest.raises(InvalidValueError, match="meta_batch must be at least 1, got 0"):
        PearlConfig("line", meta_batch=0)
    with pytest.raises(InvalidValueError, match="unknown settings"):
        PearlConfig.from_dict({"family": "line", "no_such": 1})
    with pytest.raises(UnknownNameError, match="paper"):
        make_config("line", "no-such-preset")


def test_relabelling_is_refused_where_it_would_lie() -> None:
    with pytest.raises(InvalidValueError, match="extra_posterior_episodes"):
        PearlConfig("line", relabel=True, collection=CollectionConfig(1, False, 1, 1, 0, 1))
    family = LineFamily()
    family.changes_dynamics = True
    with pytest.raises(ContractError, match="change the dynamics"):
        small_learner(family, **RELABELLED)


@pytest.mark.parametrize(("preset", "family"), [(p, f) for p, families in PRESETS.items() for f in families])
def test_every_preset_is_a_configuration_that_stands(preset: str, family: str) -> None:
    assert make_config(family, preset).family == family


def test_settings_survive_the_file_they_are_written_to() -> None:
    config = make_config("sparse-point-robot", "paper")
    assert PearlConfig.from_dict(config.to_dict()) == config


def test_the_published_mathematics_learns_to_stand_on_goals_it_is_not_told(tmp_path: Path) -> None:
    config = small_config(
        iterations=16,
        updates_per_iteration=75,
        actor_hidden=(32, 32),
        critic_hidden=(64, 64),
        encoder_hidden=(64, 64),
        meta_batch=6,
        batch_size=32,
        context_size=10,
        learning_rate=3e-3,
        target_rate=0.02,
        discount=0.5,
        kl_weight=0.001,
        collection=CollectionConfig(10, False, 6, 2, 0, 2),
        evaluation=EvaluationConfig(16, 20, 3, 2),
    )
    Trainer(LineFamily(horizon=10), config, tmp_path).run()
    last = rows(tmp_path)[-1]
    # Standing still scores -5 on average (mean |goal| 0.5 x 10 steps); an oracle that walks there about -1.6.
    assert float(last["return_adapted"]) > -3.5
    assert float(last["return_adapted"]) > float(last["return_first"])


def test_the_fast_preset_adapts_on_the_point_robot(tmp_path: Path) -> None:
    evaluation = EvaluationConfig(4, 20, 3, 1)
    config = make_config(
        "point-robot", "fast", iterations=4, evaluation=evaluation, distillation_updates=1500
    )
    Trainer(load_family("point-robot"), config, tmp_path).run()
    last = rows(tmp_path)[-1]
    # Going to the centre, the best that can be done without knowing the goal, scores -14.4.
    assert float(last["return_adapted"]) > -14.4
    assert float(last["return_adapted"]) > float(last["return_first"]) + 1.0
