# SPDX-License-Identifier: Apache-2.0
"""The examples keep to the contract they explain, and run as the documentation says."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from examples.my_family import RailPlant, make_family
from meta_rl_core.bundle import load_bundle
from meta_rl_core.registry import load_family, load_reward
from meta_rl_core.tasks import TaskFamily
from sim_bridge.seeding import episode_seed
from tests.contract import test_families as contract

TINY = {
    "updates_per_iteration": "2",
    "meta_batch": "2",
    "batch_size": "4",
    "context_size": "4",
    "actor_hidden": "[8]",
    "critic_hidden": "[8]",
    "encoder_hidden": "[8]",
    "collection": "{initial_prior_episodes: 1, posterior_episodes: 1, extra_posterior_episodes: 0}",
    "evaluation": "{tasks: 2}",
}


def contract_checks() -> list[Callable[[TaskFamily], None]]:
    """Every check of the contract that takes a family and nothing else."""
    named = ((name, item) for name, item in vars(contract).items() if name.startswith("test_"))
    return [item for _, item in named if list(inspect.signature(item).parameters) == ["family"]]


@pytest.mark.parametrize("check", contract_checks(), ids=lambda check: str(check.__name__))
def test_the_example_family_keeps_the_contract(check: Callable[[TaskFamily], None]) -> None:
    check(make_family())


def test_the_names_in_the_spec_lead_back_to_family_and_reward() -> None:
    family = make_family()
    assert type(load_family(family.spec.name)) is type(family)
    assert type(load_reward(family.reward_model.name)) is type(family.reward_model)


@pytest.mark.parametrize("parts", [1, 4, 40])
def test_the_example_plant_walks_the_trajectory_of_the_worlds(parts: int) -> None:
    family, plant = make_family(), RailPlant()
    worlds, robot = family.make_worlds(1), family.spec.robot
    assert robot is not None
    plant.reset(3, 1)
    observation = worlds.reset(family.training_tasks()[:1], np.array([episode_seed(3, 1)]))
    for action in np.random.default_rng(0).uniform(-1.0, 1.0, (5, 1, 1)):
        plant.write(robot.command(action[0], plant.read().position))
        for _ in range(parts):
            plant.step(plant.period_s / parts)
        observation = worlds.step(action).observation
        np.testing.assert_array_equal(plant.read().position, observation[0])


def pitaya(repository: Path, *arguments: str) -> str:
    """Run the command line as a user would, from a process of its own."""
    code = "import sys; from meta_rl_core.cli.main import run; run(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=repository,
        env={
            **os.environ,
            "PYTHONPATH": f"{repository}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            "PITAYA_PACKAGES": "examples",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_family_trains_exports_and_evaluates_from_the_command_line(
    repository: Path, tmp_path: Path
) -> None:
    run, bundle, scores = tmp_path / "run", tmp_path / "bundle", tmp_path / "scores.json"
    settings = [word for name, value in TINY.items() for word in ("--set", f"{name}={value}")]
    family = "examples.my_family:make_family"
    pitaya(repository, "train", family, "--iterations", "1", "--threads", "1", "--out", str(run), *settings)
    pitaya(repository, "export", str(run), str(bundle))
    pitaya(repository, "evaluate", str(bundle), "--tasks", "3", "--json", str(scores))
    assert load_bundle(bundle).manifest.family == family
    assert json.loads(scores.read_text())["env_steps"] == 3 * 3 * 20
