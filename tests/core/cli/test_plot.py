# SPDX-License-Identifier: Apache-2.0
"""Learning curves: several runs become their mean and spread over what they share."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from meta_rl_core.cli.main import main
from meta_rl_core.cli.plot import Kind, arrange, combine, read_kind, read_progress

HEADER = (
    "env_steps,wall_s,return_first,return_adapted,sparse_first,sparse_adapted,success_first,success_adapted"
)


def make_run(directory: Path, rows: int, offset: float = 0.0) -> Path:
    directory.mkdir()
    lines = [
        f"{1000 * row},{60 * row},{-300 + offset},{10 * row + offset},0,{row},0.1,{row / 10}"
        for row in range(1, rows + 1)
    ]
    lines.insert(0, HEADER)
    (directory / "progress.csv").write_text("\n".join(lines) + "\n")
    return directory


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["plot", *(str(argument) for argument in arguments)], prog_name="pitaya")


def test_a_run_is_read_in_order_of_environment_steps(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", 3)
    lines = (run / "progress.csv").read_text().splitlines()
    (run / "progress.csv").write_text("\n".join([lines[0], lines[3], lines[1], lines[2]]))
    history = read_progress(run)
    assert history["env_steps"].tolist() == [1000.0, 2000.0, 3000.0]
    assert history["return_adapted"].tolist() == [10.0, 20.0, 30.0]


def test_several_curves_become_mean_and_spread_where_all_have_points() -> None:
    one = np.array([0.0, 2.0]), np.array([0.0, 2.0])
    two = np.array([1.0, 3.0]), np.array([3.0, 5.0])
    band = combine([one, two])
    # Both cover [1, 2]: at 1 they are 1 and 3, at 2 they are 2 and 4.
    assert (band.x[0], band.x[-1]) == (1.0, 2.0)
    assert (band.mean[0], band.mean[-1]) == (2.0, 3.0)
    assert (band.low[0], band.high[-1]) == (1.0, 4.0)


@pytest.mark.parametrize("runs", [1, 2])
@pytest.mark.parametrize("reward", ["dense", "sparse"])
def test_a_picture_is_written(tmp_path: Path, runs: int, reward: str) -> None:
    pytest.importorskip("matplotlib")
    folders = [make_run(tmp_path / f"run{index}", 3 + index, offset=5.0 * index) for index in range(runs)]
    result = call(*folders, "--out", tmp_path / "new" / "curves.png", "--reward", reward)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "new" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_runs_that_cannot_be_drawn_say_what_is_wrong(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    empty = make_run(tmp_path / "empty", 0)
    assert "has 0 rows" in call(empty).stderr
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert "lacks the columns return_first" in call(tmp_path / "other.csv").stderr
    broken = make_run(tmp_path / "broken", 1)
    text = (broken / "progress.csv").read_text().replace("-300", "oops")
    (broken / "progress.csv").write_text(text)
    assert "no number" in call(broken).stderr
    assert "cannot be read" in call(tmp_path / "nowhere").stderr
    result = call(make_run(tmp_path / "good", 2), "--out", tmp_path / "curves.xyz")
    assert result.exit_code == 2
    assert "could not be written" in result.stderr


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("oracle", "oracle (told the task)"),
        ("recurrent", "recurrent context, no meta loss"),
        ("blind", "blind (one policy for all tasks)"),
    ],
)
def test_runs_of_a_control_become_a_curve_of_their_own(tmp_path: Path, name: str, label: str) -> None:
    pytest.importorskip("matplotlib")
    learner, control = (make_run(tmp_path / run, 3) for run in ("learner", name))
    (control / "config.yaml").write_text(f"family: line\ncontrol: {name}\n")
    assert (read_kind(learner), read_kind(control)) == (Kind(), Kind("line", "", name))
    picture = tmp_path / "curves.svg"
    for runs, learnt, controlled in (
        ((learner,), True, False),
        ((control,), False, True),
        ((learner, control), True, True),
    ):
        assert call(*runs, "--out", picture).exit_code == 0
        assert ("adapted episode" in picture.read_text()) == learnt
        assert (label in picture.read_text()) == controlled
    for broken, said in (("control: [", "cannot be read"), ("control: other", "known are none, oracle")):
        (control / "config.yaml").write_text(broken)
        result = call(control, "--out", picture)
        assert result.exit_code == 2
        assert said in result.stderr


def test_what_runs_earn_when_told_is_drawn_where_all_of_them_have_it(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with_it, without = make_run(tmp_path / "with", 3), make_run(tmp_path / "without", 3)
    lines = (with_it / "progress.csv").read_text().splitlines()
    told = [lines[0] + ",return_told", *(f"{line},{20 * row}" for row, line in enumerate(lines[1:], start=1))]
    (with_it / "progress.csv").write_text("\n".join(told) + "\n")
    assert read_progress(with_it)["return_told"].tolist() == [20.0, 40.0, 60.0]
    assert "return_told" not in read_progress(with_it, "sparse")
    picture = tmp_path / "curves.svg"
    for runs, reward, shown in (
        ((with_it,), "dense", True),
        ((with_it, without), "dense", False),
        ((with_it,), "sparse", False),
    ):
        assert call(*runs, "--out", picture, "--reward", reward).exit_code == 0
        assert ("same run, told the task" in picture.read_text()) == shown


def test_runs_of_another_preset_are_no_seeds_of_the_same(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    runs = [make_run(tmp_path / f"run{index}", 3, offset=5.0 * index) for index in range(3)]
    for run, preset in zip(runs, ("fast", "paper", "fast"), strict=True):
        (run / "config.yaml").write_text(f"family: line\npreset: {preset}\ncontrol: none\n")
    picture = tmp_path / "curves.svg"
    assert call(*runs, "--out", picture).exit_code == 0
    assert {"adapted episode, fast", "adapted episode, paper"} <= set(
        re.findall(r"<!-- (.*?) -->", picture.read_text())
    )
    kinds = {
        kind: [read_progress(run) for run in runs if read_kind(run) == kind] for kind in map(read_kind, runs)
    }
    curves = {curve.label: curve for curve in arrange(kinds)}
    assert [len(curves[f"adapted episode, {preset}"].runs) for preset in ("fast", "paper")] == [2, 1]
    assert curves["adapted episode, fast"].line != curves["adapted episode, paper"].line


def test_runs_of_several_families_are_refused(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / family, 2) for family in ("line", "circle")]
    for run in runs:
        (run / "config.yaml").write_text(f"family: {run.name}\npreset: fast\n")
    result = call(*runs, "--out", tmp_path / "curves.png")
    assert (result.exit_code, (tmp_path / "curves.png").exists()) == (2, False)
    assert "runs of circle and line share no scale; draw each family on its own" in result.stderr
