# SPDX-License-Identifier: Apache-2.0
"""What `pitaya train` refuses before anything starts, and what it says while it runs."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from meta_rl_core.cli.main import main
from meta_rl_core.cli.settings import parse_setting
from meta_rl_core.errors import InvalidValueError
from meta_rl_core.pearl.device import checked_device
from meta_rl_core.pearl.plans import EvaluationConfig

TINY = (
    *("--set", "updates_per_iteration=2", "--set", "meta_batch=2", "--set", "batch_size=4"),
    *("--set", "evaluation={tasks: 2, episodes: 3, exploration_episodes: 1}"),
    *("--set", "distillation_updates=0"),
)


def train(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["train", *arguments])
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cheetah-velocity",), "unknown task family 'cheetah-velocity'; known:"),
        (("point-robot", "--preset", "slow"), "'slow' is not one of 'paper', 'fast'"),
        (("point-robot", "--device", "tpu"), "'tpu' is not one of 'cpu', 'cuda'"),
        (("point-robot", "--steps", "0"), "0 is not in the range x>=1"),
        (("point-robot", "--steps", "9", "--iterations", "9"), "both say when to end"),
        (("point-robot", "--set", "discount=2"), "discount must lie in (0.0, 1.0], got 2"),
        (("point-robot", "--set", "no_such=2"), "--set wants NAME=VALUE"),
        (("point-robot", "--set", "deterministic_latent=true"), "option of the published update"),
        (("point-robot", "--set", "seed=3"), "--set wants NAME=VALUE with NAME one of actor_hidden,"),
        (("point-robot", "--set", "kl_weight=much"), "kl_weight must be a finite number, got 'much'"),
        (("point-robot", "--set", "kl_weight=.inf"), "kl_weight must be a finite number, got inf"),
        (("point-robot", "--set", "kl_weight=true"), "kl_weight must be a finite number, got True"),
        (("point-robot", "--set", "kl_weight=[1"), "'[1' is not YAML"),
        (("point-robot", "--set", "reward_scale=-1"), "reward_scale must be positive, got -1"),
        (("point-robot", "--set", "meta_batch=2.5"), "meta_batch must be a whole number, got 2.5"),
        (("point-robot", "--set", "relabel=3"), "relabel must be true or false, got 3"),
        (("point-robot", "--set", "method=7"), "method must be a word, got 7"),
        (("point-robot", "--set", "actor_hidden=64"), "actor_hidden must be a list such as [64, 64], got 64"),
        (("point-robot", "--set", "actor_hidden=[a]"), "actor_hidden must be a whole number, got 'a'"),
        (
            ("point-robot", "--set", "actor_hidden=[64, 0]"),
            "widths in actor_hidden must be at least 1, got [64, 0]",
        ),
        (("point-robot", "--set", "collection=3"), "collection must be {NAME: VALUE, ...} with names of"),
        (("point-robot", "--set", "collection={no_such: 1}"), "got {'no_such': 1}"),
        (
            ("point-robot", "--set", "collection={prior_episodes: 0}"),
            "prior_episodes must be at least 1, got 0",
        ),
        (("point-robot", "--set", "evaluation={tasks: 0}"), "evaluation.tasks must be at least 1, got 0"),
        (
            ("point-robot", "--set", "evaluation={tasks: few}"),
            "evaluation.tasks must be a whole number, got 'few'",
        ),
        (("point-robot", "--set", "evaluation={every_iterations: 0}"), "must be at least 1, got 0"),
    ],
)
def test_wrong_words_are_refused_with_what_would_be_right(arguments: tuple[str, ...], said: str) -> None:
    code, output = train(*arguments)
    assert code == 2
    assert said in output


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_missing_cuda_device_is_a_clear_error() -> None:
    code, output = train("point-robot", "--device", "cuda")
    assert code == 2
    assert "finds no CUDA device here; use --device cpu" in output


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="one of cpu, cuda; got 'tpu'"):
        checked_device("tpu")


def test_a_budget_of_steps_ends_the_run_and_the_output_shows_how_it_gets_on(tmp_path: Path) -> None:
    # 80 tasks x 10 episodes x 20 steps at first, 20 x 10 x 20 in the one iteration that follows.
    code, output = train("point-robot", "--steps", "16001", "--out", str(tmp_path / "run"), *TINY)
    assert code == 0, output
    assert "20,000 steps" in output
    assert "updates/s 0 min left return" in output
    assert " -> " in output
    assert "environment_steps: 16001" in (tmp_path / "run" / "config.yaml").read_text()


def test_the_run_keeps_the_commands_that_began_and_resumed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = ("train", "point-robot", "--steps", "16001", "--out", str(tmp_path / "run"), *TINY)
    for command in (began, (*began, "--resume")):
        monkeypatch.setattr(sys, "argv", ["pitaya", *command])
        code, output = train(*command[1:])
        assert code == 0, output
    noted = (tmp_path / "run" / "command.txt").read_text().splitlines()
    assert noted == [shlex.join(("pitaya", *began)), shlex.join(("pitaya", *began, "--resume"))]


@pytest.mark.parametrize(("preset", "beyond"), [("paper", 3), ("fast", 0)])
def test_the_recurrent_control_trains_from_either_preset_in_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: str, beyond: int
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = f"initial_prior_episodes: 1, tasks_per_iteration: 1, extra_posterior_episodes: {beyond}"
    small = ("--set", f"collection={{{plan}}}", "--iterations", "1")
    code, output = train("point-robot", "--preset", preset, "--control", "recurrent", *TINY, *small)
    assert code == 0, output
    settings = Path("runs", f"point-robot-{preset}-recurrent-0", "config.yaml").read_text()
    assert "recurrent_encoder: true" in settings
    assert "deterministic_latent: true" in settings


def test_going_on_with_a_run_of_another_family_is_refused_before_training(tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "run"), *TINY)
    plan = "collection={initial_prior_episodes: 1, tasks_per_iteration: 1, extra_posterior_episodes: 0}"
    assert train("point-robot", "--iterations", "1", "--set", plan, *out)[0] == 0
    code, output = train("sparse-point-robot", "--iterations", "1", "--set", plan, *out, "--resume")
    assert code == 2
    assert "belongs to family 'point-robot', not 'sparse-point-robot'; resume it as `pitaya train" in output


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("kl_weight=1e-5", 1e-5),
        ("kl_weight=2", 2.0),
        ("relabel=false", False),
        ("actor_hidden=[64, 32]", (64, 32)),
        ("environment_steps=null", None),
        ("environment_steps=9", 9),
        ("method=sac_v1", "sac_v1"),
        ("evaluation={tasks: 3}", EvaluationConfig(tasks=3)),
    ],
)
def test_a_setting_becomes_a_value_of_its_type(setting: str, value: object) -> None:
    name, parsed = parse_setting(setting)
    assert (name, parsed, type(parsed)) == (setting.split("=")[0], value, type(value))


def test_the_last_phase_says_how_far_it_is(tmp_path: Path) -> None:
    taught = ("--set", "privileged_share=0.5", "--set", "distillation_updates=20")
    code, output = train("point-robot", "--iterations", "1", "--out", str(tmp_path / "run"), *TINY, *taught)
    assert code == 0
    told = re.findall(r"distilling (\d+) of 20 [\d.]+ updates/s \d+ min left imitation [\d.e-]+", output)
    assert told == [str(2 * tenth) for tenth in range(1, 11)]
