# SPDX-License-Identifier: Apache-2.0
"""Checkpoints write what has changed, and those of former versions go on."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from meta_rl_core.pearl.learner import Learner
from meta_rl_core.pearl.replay import Index, TaskReplay
from meta_rl_core.pearl.trainer import Trainer
from tests.helpers.small_runs import RELABELLED, small_config
from tests.helpers.toy_family import LineFamily


def part_files(directory: Path) -> dict[str, int]:
    """Which file each part of the replay is, by the number the file system knows it by."""
    return {path.name: path.stat().st_ino for path in (directory / "checkpoint").glob("replay-*.safetensors")}


def scores(directory: Path) -> list[dict[str, str]]:
    with (directory / "progress.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "wall_s"} for row in csv.DictReader(file)]


@pytest.fixture
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meta_rl_core.pearl.replay.PART_ROWS", 16)


@pytest.mark.usefixtures("_small_parts")
def test_parts_of_the_replay_that_have_not_changed_are_not_written_again(tmp_path: Path) -> None:
    Trainer(LineFamily(), small_config(iterations=2), tmp_path).run()
    before = part_files(tmp_path)
    # 30 transitions at first, 20 in each iteration: 70, in files of 16; then 90.
    assert len(before) == 5
    Trainer(LineFamily(), small_config(iterations=3), tmp_path, resume=True).run()
    after = part_files(tmp_path)
    assert len(after) == 6
    unchanged = {name for name in before if before[name] == after[name]}
    assert unchanged == {f"replay-{part:04}.safetensors" for part in range(4)}
    assert not list(tmp_path.glob("checkpoint.*"))


@pytest.mark.usefixtures("_small_parts")
def test_where_files_cannot_be_shared_they_are_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr("os.link", refuse)
    Trainer(LineFamily(), small_config(iterations=5), tmp_path / "whole").run()
    for iterations in (2, 3, 5):
        again = (tmp_path / "parts").exists()
        trainer = Trainer(LineFamily(), small_config(iterations=iterations), tmp_path / "parts", resume=again)
        trainer.checkpoint_every_s = -1.0
        trainer.run()
    assert scores(tmp_path / "parts") == scores(tmp_path / "whole")


@pytest.mark.usefixtures("_small_parts")
@pytest.mark.parametrize("settings", [{"replay_capacity": 12}, {**RELABELLED, "replay_capacity": 45}])
def test_a_replay_in_many_parts_whose_places_are_used_again_resumes_to_the_bit(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    Trainer(LineFamily(), small_config(iterations=6, **settings), tmp_path / "whole").run()
    for iterations in (2, 4, 6):
        again = (tmp_path / "parts").exists()
        Trainer(
            LineFamily(),
            small_config(iterations=iterations, **settings),
            tmp_path / "parts",
            resume=again,
            checkpoint_every_s=-1.0,
        ).run()
    assert scores(tmp_path / "parts") == scores(tmp_path / "whole")
    assert len(part_files(tmp_path / "parts")) >= 3


def make_it_version_2(directory: Path, capacity: int, version: int = 2) -> None:
    """Rewrites a checkpoint as it was before: one ring for all tasks, books of serial numbers, one file."""
    checkpoint = directory / "checkpoint"
    parts = [load_file(path) for path in sorted(checkpoint.glob("replay-*.safetensors"))]
    books = load_file(checkpoint / "books.safetensors")
    for path in [*checkpoint.glob("replay-*.safetensors"), checkpoint / "books.safetensors"]:
        path.unlink()
    columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    ring = {name: column[:capacity].clone() for name, column in columns.items()}
    for serial in range(len(columns["reward"])):
        for name, column in columns.items():
            ring[name][serial % capacity] = column[serial]
    save_file({**ring, **books}, checkpoint / "replay.safetensors")
    state = json.loads((checkpoint / "state.json").read_text())
    for late in ("collected", "unevaluated", "rows"):
        del state["progress"][late]
    del state["replay_stamps"]
    (checkpoint / "state.json").write_text(json.dumps({**state, "version": version}))


@pytest.mark.parametrize("settings", [{}, RELABELLED])
@pytest.mark.parametrize("version", [1, 2])
def test_a_checkpoint_of_a_version_before_goes_on_as_it_would_have(
    tmp_path: Path, settings: dict[str, object], version: int
) -> None:
    Trainer(LineFamily(), small_config(iterations=5, **settings), tmp_path / "whole").run()
    Trainer(LineFamily(), small_config(iterations=2, **settings), tmp_path / "parts").run()
    make_it_version_2(tmp_path / "parts", 5000, version)
    Trainer(LineFamily(), small_config(iterations=3, **settings), tmp_path / "parts", resume=True).run()
    Trainer(LineFamily(), small_config(iterations=5, **settings), tmp_path / "parts", resume=True).run()
    assert scores(tmp_path / "parts") == scores(tmp_path / "whole")
    assert len(scores(tmp_path / "parts")) == 5


def test_of_a_ring_that_had_gone_round_each_task_gets_what_was_left_of_it(tmp_path: Path) -> None:
    # 70 transitions in a ring of 61, of which the first 9 were overwritten: all 5 of task 0 and 4 of task 1.
    config = small_config(iterations=2, replay_capacity=61)
    trainer = Trainer(LineFamily(), config, tmp_path)
    trainer.run()
    replay = books(trainer.learner)
    expected = [content(replay, rows[rows >= 9]) for rows in [*replay.rl_rows, *replay.context_rows]]
    make_it_version_2(tmp_path, 61)
    resumed = Trainer(LineFamily(), config, tmp_path, resume=True)
    replay = books(resumed.learner)
    got = [content(replay, rows) for rows in [*replay.rl_rows, *replay.context_rows]]
    assert sum(len(rows) for rows in replay.rl_rows) == 61
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    resumed.learner.collect()
    assert replay.store.total == 90
    assert len(np.unique(np.concatenate(replay.rl_rows))) == 61 + 20


def books(learner: Learner) -> TaskReplay:
    assert isinstance(learner.replay, TaskReplay)
    return learner.replay


def content(replay: TaskReplay, rows: Index) -> torch.Tensor:
    """What lies in these rows, in one."""
    return torch.cat([value.flatten() for value in replay.store.gather(torch.from_numpy(rows)).values()])
