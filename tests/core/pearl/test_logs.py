# SPDX-License-Identifier: Apache-2.0
"""What a run leaves behind: one row and one point per evaluation, however often it was killed."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

from meta_rl_core.pearl.logs import Display, RunLog
from meta_rl_core.pearl.trainer import Trainer
from tests.helpers.small_runs import RELABELLED, small_config
from tests.helpers.toy_family import LineFamily


def row(iteration: int, score: float, **more: float) -> dict[str, float | int]:
    counters = {"iteration": iteration, "env_steps": 10 * iteration, "updates": 3 * iteration, "wall_s": 1.0}
    return {**counters, "return_adapted": score, **more}


def written(directory: Path) -> list[tuple[int, float]]:
    with (directory / "progress.csv").open(newline="") as file:
        return [(int(row["env_steps"]), float(row["return_adapted"])) for row in csv.DictReader(file)]


def drawn(directory: Path, name: str = "return_adapted") -> list[tuple[int, float]]:
    """The points TensorBoard shows; the file has six digits of each."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = EventAccumulator(str(directory / "tensorboard"))
    shown.Reload()
    return [(event.step, pytest.approx(event.value, rel=1e-5)) for event in shown.Scalars(name)]


def log_rows(log: RunLog, *rows: dict[str, float | int]) -> None:
    for one in rows:
        log.add(one)
    log.close()


def test_a_run_that_goes_on_doubles_no_point_and_hides_those_from_after_its_checkpoint(
    tmp_path: Path,
) -> None:
    log_rows(RunLog(tmp_path), *(row(n, -n, loss=0.5) for n in (1, 2, 3, 4)))
    log_rows(
        RunLog(tmp_path, resume_at_updates=6, resume_at_rows=2),
        *(row(n, -10 * n, loss=0.5) for n in (3, 4, 5)),
    )
    expected = [(10, -1.0), (20, -2.0), (30, -30.0), (40, -40.0), (50, -50.0)]
    assert written(tmp_path) == expected
    assert drawn(tmp_path) == expected
    assert drawn(tmp_path, "loss") == [(10 * n, 0.5) for n in (1, 2, 3, 4, 5)]


def test_a_run_that_goes_on_from_before_its_first_row_begins_both_anew(tmp_path: Path) -> None:
    log_rows(RunLog(tmp_path), row(1, -1), row(2, -2))
    log_rows(RunLog(tmp_path, resume_at_updates=0, resume_at_rows=0), row(1, -3))
    assert written(tmp_path) == drawn(tmp_path) == [(10, -3.0)]


def test_two_rows_of_one_step_before_and_after_the_last_phase_both_stay(tmp_path: Path) -> None:
    log_rows(RunLog(tmp_path), row(1, -1, loss=0.5), row(2, -2, loss=0.5), row(2, -1.5))
    log_rows(RunLog(tmp_path, resume_at_updates=6, resume_at_rows=3))
    assert written(tmp_path) == drawn(tmp_path) == [(10, -1.0), (20, -2.0), (20, -1.5)]


def test_a_run_begun_before_a_column_came_to_be_goes_on_below_the_columns_it_has(tmp_path: Path) -> None:
    log_rows(RunLog(tmp_path), row(1, -1, loss=0.5))
    counters = {name: value for name, value in row(2, -2).items() if name != "return_adapted"}
    later = {**counters, "return_told": -0.5, "return_adapted": -2.0, "loss": 0.25}
    log_rows(RunLog(tmp_path, resume_at_updates=3, resume_at_rows=1), later)
    with (tmp_path / "progress.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(one["return_adapted"], one["loss"]) for one in rows] == [("-1", "0.5"), ("-2", "0.25")]
    assert list(rows[0]) == list(row(1, -1, loss=0.5))
    assert drawn(tmp_path, "return_told") == [(20, -0.5)]


def test_where_a_checkpoint_does_not_say_how_many_rows_there_were_its_updates_decide(tmp_path: Path) -> None:
    log_rows(RunLog(tmp_path), *(row(n, -n) for n in (1, 2, 3)))
    assert RunLog(tmp_path, resume_at_updates=6).rows == 2
    assert written(tmp_path) == [(10, -1.0), (20, -2.0)]


def test_rows_that_stay_stay_letter_by_letter(tmp_path: Path) -> None:
    log_rows(RunLog(tmp_path), row(1, -1, loss=0.5), row(2, -2), row(3, -3))
    before = (tmp_path / "progress.csv").read_bytes().splitlines(keepends=True)
    RunLog(tmp_path, resume_at_updates=6, resume_at_rows=2).close()
    assert (tmp_path / "progress.csv").read_bytes() == b"".join(before[:3])
    assert not list(tmp_path.glob("*.writing"))


def test_a_crash_while_rows_are_dropped_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log_rows(RunLog(tmp_path), *(row(n, -n) for n in (1, 2, 3)))
    before = (tmp_path / "progress.csv").read_bytes()

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for owner, name in ((Path, "replace"), (RunLog, "_write")):
        monkeypatch.setattr(owner, name, crash)
    with pytest.raises(KeyboardInterrupt):
        RunLog(tmp_path, resume_at_updates=6, resume_at_rows=2)
    assert (tmp_path / "progress.csv").read_bytes() == before


def test_a_resumed_run_shows_each_evaluation_once(tmp_path: Path) -> None:
    taught = {**RELABELLED, "privileged_share": 0.5, "distillation_updates": 2}
    Trainer(LineFamily(), small_config(iterations=2, **RELABELLED), tmp_path / "plain").run()
    Trainer(LineFamily(), small_config(iterations=4, **RELABELLED), tmp_path / "plain", resume=True).run()
    for _ in range(2):
        again = (tmp_path / "taught" / "checkpoint").exists()
        Trainer(LineFamily(), small_config(iterations=2, **taught), tmp_path / "taught", resume=again).run()
    for name, count in (("plain", 4), ("taught", 3)):
        assert len(drawn(tmp_path / name)) == count
        assert drawn(tmp_path / name) == written(tmp_path / name)


def test_a_missing_tensorboard_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    Trainer(LineFamily(), small_config(iterations=3), tmp_path).run()
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("no TensorBoard logs") == 1
    assert "progress.csv holds the same. `pip install tensorboard` brings them" in said
    assert len(written(tmp_path)) == 3


def test_without_a_terminal_the_pace_is_told_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    now_s = 0.0
    with Display("line", 0.0, lambda: now_s) as display:
        for minute in (0.0, 0.5, 1.0, 1.9, 2.5):
            now_s = 60.0 * minute
            display.show_iteration(f"pace after {minute} minutes", 0.1)
    told = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("pace")]
    assert told == [f"pace after {minute} minutes" for minute in (0.0, 1.0, 2.5)]
