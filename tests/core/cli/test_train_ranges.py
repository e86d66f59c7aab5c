# SPDX-License-Identifier: Apache-2.0
"""`pitaya train`: a family or a file of ranges that is not in order ends in one sentence, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from meta_rl_core.cli.main import main
from meta_rl_core.tasks import Array
from tests.helpers.toy_family import LineFamily

GOOD = {
    "servo_gain_n_m_rad": [1, 20],
    "valve_friction_n_m": [0, 0.3],
    "latency_s": [0, 0.08],
    "prongs": [3, 4],
}
TINY = (
    *("--preset", "paper", "--iterations", "1", "--set", "updates_per_iteration=1", "--set", "batch_size=4"),
    *("--set", "actor_hidden=[8]", "--set", "critic_hidden=[8]", "--set", "encoder_hidden=[8]"),
    *("--set", "collection={initial_prior_episodes: 1, tasks_per_iteration: 1, extra_posterior_episodes: 0}"),
    *("--set", "evaluation={tasks: 2}", "--set", "context_size=4", "--set", "replay_capacity=500"),
)


class RangedLine(LineFamily):
    """The line, its goals no farther out than a file says."""

    farthest = 1.0

    def narrowed(self, path: Path) -> RangedLine:
        family = RangedLine()
        family.farthest = float(yaml.safe_load(path.read_text())["farthest"])
        return family

    def training_tasks(self) -> Array:
        return self.farthest * super().training_tasks()


class Homeless(LineFamily):
    """A family that cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("its simulator does not answer")


class Careless(LineFamily):
    """A family that gives held-out tasks a column too many."""

    def heldout_tasks(self, count: int, seed: int) -> Array:
        return np.zeros((count, 2))


def train(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["train", *(str(argument) for argument in arguments)])


def assert_refused(result: Result, said: str) -> None:
    """One line on stderr that holds `said`, status 2."""
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def ranges(**changes: object) -> str:
    return yaml.safe_dump({"schema_version": 1, "measured": {}, "ranges": {**GOOD, **changes}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            ranges(servo_gain_n_m_rad=[1, 90]),
            "servo_gain_n_m_rad must be [lowest, highest] within [0.1, 50], got [1, 90]",
        ),
        (ranges(latency_s=[0.05, 0.01]), "latency_s must be [lowest, highest] within"),
        (ranges(prongs=["three", 4]), "ranges.prongs must be a number, got 'three'"),
        (ranges(no_such=[0, 1]), "unknown keys 'no_such'; known: latency_s,"),
        ("- 1\n- 2\n", "ranges.yaml: must be a YAML mapping, got a list"),
        ("just words\n", "ranges.yaml: must be a YAML mapping, got a str"),
        ("", "ranges.yaml: must be a YAML mapping"),
        ("{ranges: [1", "ranges.yaml: not valid YAML"),
    ],
)
def test_a_file_of_ranges_that_is_not_in_order_stops_the_run_before_it_begins(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "ranges.yaml").write_text(text)
    before = contents(tmp_path)
    out = ("--ranges", tmp_path / "ranges.yaml", "--out", tmp_path / "run")
    assert_refused(train("dclaw-turn-dynamics", *out), said)
    assert contents(tmp_path) == before
    assert not (tmp_path / "run").exists()


def test_a_family_without_ranges_refuses_a_file_of_them(tmp_path: Path) -> None:
    (tmp_path / "ranges.yaml").write_text(ranges())
    out = ("--ranges", tmp_path / "ranges.yaml", "--out", tmp_path / "run")
    assert_refused(train("point-robot", *out), "tasks of 'point-robot' are not drawn from ranges in a file")
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_with_the_ranges_it_began_with_and_no_others(tmp_path: Path) -> None:
    near, far, run = tmp_path / "near.yaml", tmp_path / "far.yaml", tmp_path / "run"
    near.write_text("farthest: 0.5\n")
    far.write_text("farthest: 0.9\n")
    family = f"{__name__}:RangedLine"
    begun = train(family, "--ranges", near, "--out", run, *TINY)
    assert begun.exit_code == 0, begun.output
    kept = run / "ranges.yaml"
    assert kept.read_text() == "farthest: 0.5\n"
    before = contents(run)
    for other in (("--ranges", far), ()):
        refused = train(family, *other, "--out", run, *TINY, "--resume")
        assert_refused(refused, f"{run} was begun with other tasks; resume it with --ranges {kept}")
        assert contents(run) == before
    resumed = train(family, "--ranges", kept, "--out", run, *TINY, "--iterations", "2", "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert len((run / "progress.csv").read_text().splitlines()) == 3


def test_a_run_that_began_without_ranges_goes_on_without_them(tmp_path: Path) -> None:
    far, run, family = tmp_path / "far.yaml", tmp_path / "run", f"{__name__}:RangedLine"
    far.write_text("farthest: 0.9\n")
    assert train(family, "--out", run, *TINY).exit_code == 0
    before = contents(run)
    refused = train(family, "--ranges", far, "--out", run, *TINY, "--resume")
    assert_refused(refused, f"{run} was begun with other tasks; resume it with no --ranges")
    assert contents(run) == before


@pytest.mark.parametrize(
    ("family", "said"),
    [
        ("Homeless", "raised RuntimeError: its simulator does not answer (" + __file__),
        ("Careless", "heldout_tasks(2, seed) of 'line' must have shape (2, 1) one column per task name"),
        ("Nobody", "has no 'Nobody'; known:"),
    ],
)
def test_a_family_that_breaks_the_contract_is_one_line(tmp_path: Path, family: str, said: str) -> None:
    assert_refused(train(f"{__name__}:{family}", "--out", tmp_path / "run", *TINY), said)
    assert not (tmp_path / "run").exists()
