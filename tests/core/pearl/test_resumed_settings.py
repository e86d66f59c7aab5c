# SPDX-License-Identifier: Apache-2.0
"""A run may be resumed with another pace where environment steps bound it, and keeps all of its commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from meta_rl_core.bundle.schema import LONGEST_COMMAND
from meta_rl_core.errors import CheckpointError
from meta_rl_core.pearl.run_command import note_command, noted_commands
from meta_rl_core.pearl.trainer import Trainer
from tests.helpers.small_runs import small_config
from tests.helpers.toy_family import LineFamily

# 6 tasks x 1 episode x 5 steps at first, then 2 tasks x 2 episodes x 5 steps an iteration: 30, 50, 70, 90, 110.
HALF = {"environment_steps": 60, "learning_rate_decay": 0.1, "learning_rate_decay_from": 0.5}


def resumed(directory: Path, **settings: object) -> Trainer:
    return Trainer(LineFamily(), small_config(**settings), directory, resume=True)


def test_where_steps_bound_it_updates_and_learning_rate_may_change(tmp_path: Path) -> None:
    begun = Trainer(LineFamily(), small_config(**HALF), tmp_path)
    begun.run()
    assert (begun.learner.env_steps, begun.learner.updates) == (70, 2 * 3)
    late = {**HALF, "environment_steps": 110, "learning_rate_decay_from": 0.0, "learning_rate": 1e-3}
    going_on = resumed(tmp_path, **late, updates_per_iteration=7)
    going_on.run()
    assert (going_on.learner.env_steps, going_on.learner.updates) == (110, 2 * 3 + 2 * 7)
    rate = going_on.learner.update.optimisers()["actor"].param_groups[0]["lr"]
    assert rate == pytest.approx(0.1 * 1e-3)


def test_where_iterations_bound_it_they_may_not(tmp_path: Path) -> None:
    Trainer(LineFamily(), small_config(iterations=1), tmp_path).run()
    with pytest.raises(CheckpointError, match=r"updates_per_iteration: saved 3, asked 7\); only iterations"):
        resumed(tmp_path, iterations=2, updates_per_iteration=7)


def test_even_there_what_shapes_the_networks_may_not(tmp_path: Path) -> None:
    Trainer(LineFamily(), small_config(**HALF), tmp_path).run()
    with pytest.raises(CheckpointError, match="meta_batch: saved 3, asked 4"):
        resumed(tmp_path, **{**HALF, "environment_steps": 110}, meta_batch=4)


def test_a_run_at_another_pace_stays_bounded_by_steps(tmp_path: Path) -> None:
    Trainer(LineFamily(), small_config(**HALF), tmp_path).run()
    resumed(tmp_path, **{**HALF, "environment_steps": 110}, updates_per_iteration=7).run()
    without = {**HALF, "environment_steps": None, "iterations": 9, "updates_per_iteration": 7}
    with pytest.raises(
        CheckpointError, match=r"20 updates in 4 iterations, not 7 in each.*resume it with --steps"
    ):
        resumed(tmp_path, **without)


def test_a_run_at_one_pace_may_be_bounded_by_iterations_after_all(tmp_path: Path) -> None:
    Trainer(LineFamily(), small_config(**HALF), tmp_path).run()
    going_on = resumed(tmp_path, **{**HALF, "environment_steps": None}, iterations=4)
    assert going_on.learner.share_done() == 0.5


def test_a_run_knows_the_commands_that_made_it_in_their_order(tmp_path: Path) -> None:
    assert noted_commands(tmp_path) == ""
    for command in ("train --steps 60", "train --resume", "train --resume", "train --steps 80 --resume"):
        note_command(tmp_path, command)
    assert noted_commands(tmp_path) == "train --steps 60; train --resume; train --steps 80 --resume"


def test_commands_too_long_for_a_manifest_are_cut_to_the_first_and_the_last(tmp_path: Path) -> None:
    for command in ("first", "m" * LONGEST_COMMAND, "last"):
        note_command(tmp_path, command)
    assert noted_commands(tmp_path) == "first; ...; last"
