# SPDX-License-Identifier: Apache-2.0
"""From a training run to a bundle to scores, by the commands a user types."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from meta_rl_core.bundle import load_bundle
from meta_rl_core.cli.evaluate import print_table
from meta_rl_core.cli.main import main
from meta_rl_core.errors import UnknownNameError
from meta_rl_core.registry import load_family
from tests.helpers.bundles import make_random_bundle, random_parts
from tests.helpers.toy_family import LineFamily

POLICIES = Path(__file__).parents[3] / "policies"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="pitaya")


def test_evaluating_writes_every_score_that_was_promised(tmp_path: Path) -> None:
    bundle = make_random_bundle(tmp_path / "policy", family="sparse-point-robot")
    result = call(
        "evaluate", tmp_path / "policy", "--tasks", 4, "--seed", 11, "--json", tmp_path / "out" / "f.json"
    )
    assert result.exit_code == 0, result.output
    scores = json.loads((tmp_path / "out" / "f.json").read_text())
    promised = (
        "success_rate_first success_rate_adapted return_first_mean return_adapted_mean return_adapted_cvar5 "
        "tasks episodes env_steps family bundle_hash"
    )
    assert set(promised.split()) <= set(scores)
    assert (scores["tasks"], scores["episodes"], scores["seed"]) == (4, 3, 11)
    assert scores["env_steps"] == 4 * 3 * bundle.manifest.horizon
    assert scores["bundle_hash"] == bundle.hash
    assert "posterior" in result.output


@pytest.mark.parametrize(("policy", "shown"), [("sparse-point-robot", True), ("cheetah-dir", False)])
def test_a_sparse_return_is_shown_where_there_is_one(policy: str, shown: bool) -> None:
    result = call("evaluate", POLICIES / policy, "--tasks", 1, "--episodes", 1, "--exploration-episodes", 0)
    assert result.exit_code == 0, result.output
    heading = next(line for line in result.output.splitlines() if "worst 5%" in line)
    assert ("sparse" in heading) == shown
    assert ("return, sparse: mean" in result.output) == shown


def test_returns_of_thousands_fit_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    episode = {
        "success_rate": 1.0,
        "return_mean": -30.0,
        "return_std": 1392.0,
        "return_cvar5": -1670.0,
        "sparse_return_mean": -30.0,
        "sparse_return_std": 1392.0,
        "final_error_median": 3.894,
    }
    named = {
        "bundle": "cheetah-dir",
        "family": "cheetah-dir",
        "bundle_hash": "0" * 64,
        "exploration": "cover",
    }
    counted = {"tasks": 100, "seed": 11, "env_steps": 60_000, "training_env_steps": 984_000, "wall_s": 15.1}
    print_table(
        {**named, **counted, "sampling": "sample", "exploration_episodes": 2, "per_episode": [episode] * 3}
    )
    output = capsys.readouterr().out
    assert "…" not in output and "3.894" in output
    assert max(map(len, output.splitlines())) <= 80


def test_tasks_that_nobody_saw_are_other_ones(tmp_path: Path) -> None:
    make_random_bundle(tmp_path / "policy", family="sparse-point-robot")
    scores = []
    for option in ([], ["--unseen"]):
        result = call("evaluate", tmp_path / "policy", "--tasks", 3, *option, "--json", tmp_path / "f.json")
        assert result.exit_code == 0, result.output
        scores.append(json.loads((tmp_path / "f.json").read_text())["return_adapted_mean"])
    assert scores[0] != scores[1]


def test_a_bundle_that_has_the_settings_of_its_run_beside_it_is_still_a_bundle(tmp_path: Path) -> None:
    bundle = make_random_bundle(tmp_path / "policy", family="point-robot")
    (tmp_path / "policy" / "config.yaml").write_text("family: point-robot\n")
    result = call("evaluate", tmp_path / "policy", "--tasks", 2)
    assert result.exit_code == 0, result.output
    assert bundle.hash[:12] in result.output


def test_evaluating_twice_gives_the_same_scores(tmp_path: Path) -> None:
    make_random_bundle(tmp_path / "policy", family="dclaw-turn")
    scores = []
    for _ in range(2):
        assert (
            call("evaluate", tmp_path / "policy", "--tasks", 2, "--json", tmp_path / "f.json").exit_code == 0
        )
        scores.append(json.loads((tmp_path / "f.json").read_text()))
        del scores[-1]["wall_s"]
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "0"], "range"),
        (["--seed", "-1"], "range"),
        (["--episodes", "two"], "integer"),
        (["--sampling", "mode"], "'sample', 'mean', 'prior'"),
        (["--episodes", "2"], "at least one episode is adapted"),
        (["--tasks", "1", "--json", "/proc/nowhere/f.json"], "could not be written"),
    ],
)
def test_options_out_of_range_say_what_is_allowed(tmp_path: Path, arguments: list[str], message: str) -> None:
    make_random_bundle(tmp_path / "policy", family="sparse-point-robot")
    result = call("evaluate", tmp_path / "policy", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_bundle_of_an_unknown_family_names_the_known_ones(tmp_path: Path) -> None:
    from meta_rl_core.bundle import write_bundle

    fields, weights, golden = random_parts()
    write_bundle(tmp_path / "policy", {**fields, "family": "knitting"}, weights, golden)
    result = call("evaluate", tmp_path / "policy")
    assert result.exit_code == 2
    message = " ".join(result.output.split())
    assert "unknown task family 'knitting'; known: " in message
    assert "dclaw-turn" in message


def test_a_missing_bundle_is_one_clear_line(tmp_path: Path) -> None:
    result = call("evaluate", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: bundle ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("checkpoint", ["best", "last"])
def test_a_training_run_becomes_a_bundle_that_loads_and_can_be_evaluated(
    tmp_path: Path, checkpoint: str
) -> None:
    pytest.importorskip("torch")
    from meta_rl_core.pearl.config import PearlConfig
    from meta_rl_core.pearl.plans import CollectionConfig, EvaluationConfig
    from meta_rl_core.pearl.trainer import Trainer

    config = PearlConfig(
        "sparse-point-robot",
        iterations=1,
        updates_per_iteration=2,
        actor_hidden=(8,),
        critic_hidden=(8,),
        encoder_hidden=(8,),
        context_size=6,
        batch_size=5,
        meta_batch=3,
        replay_capacity=5000,
        collection=CollectionConfig(1, False, 2, 1, 0, 1),
        evaluation=EvaluationConfig(1, 3, 3, 1),
    )
    Trainer(load_family("sparse-point-robot"), config, tmp_path / "run").run()
    result = call("export", tmp_path / "run", tmp_path / "policy", "--checkpoint", checkpoint)
    assert result.exit_code == 0, result.output
    bundle = load_bundle(tmp_path / "policy")
    assert bundle.hash in result.output
    assert bundle.manifest.provenance.env_steps > 0
    assert call("evaluate", tmp_path / "policy", "--tasks", 2).exit_code == 0
    again = call("export", tmp_path / "run", tmp_path / "policy")
    assert again.exit_code == 2
    assert "already holds a bundle" in again.stderr
    assert call("export", tmp_path / "run", tmp_path / "policy", "--overwrite").exit_code == 0


def test_a_run_whose_control_makes_no_bundle_is_scored_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from meta_rl_core.pearl.trainer import Trainer
    from tests.helpers.small_runs import RELABELLED, small_config

    config = small_config("point-robot", **RELABELLED, latent_dim=1, control="blind")
    Trainer(load_family("point-robot"), config, tmp_path / "run").run()
    result = call("evaluate", tmp_path / "run", "--tasks", 4, "--json", tmp_path / "f.json")
    assert result.exit_code == 0, result.output
    assert "control blind" in result.output
    scores = json.loads((tmp_path / "f.json").read_text())
    assert (scores["control"], scores["sampling"], scores["tasks"], scores["episodes"]) == (
        "blind",
        "prior",
        4,
        3,
    )
    assert len(scores["per_task"]["return"]) == 4
    assert scores["training_env_steps"] > 0
    for option in (("--sampling", "mean"), ("--exploration", "prior"), ("--ranges", tmp_path / "f.json")):
        refused = call("evaluate", tmp_path / "run", *option)
        assert refused.exit_code == 2
        assert refused.stderr.startswith("error: ")


def test_exporting_what_is_no_run_says_how_to_make_one(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    result = call("export", tmp_path, tmp_path / "policy")
    assert result.exit_code == 2
    assert "pitaya train" in result.stderr


def test_an_unknown_family_names_the_known_ones_and_a_path_works_too() -> None:
    with pytest.raises(UnknownNameError, match=r"known: .*dclaw-turn"):
        load_family("dclaw-trun")
    assert isinstance(load_family("tests.helpers.toy_family:LineFamily"), LineFamily)
