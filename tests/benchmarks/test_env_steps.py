# SPDX-License-Identifier: Apache-2.0
"""The benchmark of environment steps lets MuJoCo repeat the very steps that our worlds took."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from benchmarks.env_steps import Setting, main, measure_family, record, time_bare
from sim_bridge.dclaw.families import make_dclaw_turn
from sim_bridge.locomotion.families import make_cheetah_vel, make_humanoid_dir

SMALL = Setting(worlds=2, steps=3, repetitions=3)


def test_the_recorded_motion_ends_where_a_world_fell() -> None:
    family = make_humanoid_dir()
    worlds = family.make_worlds(2, 1)
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, (200, 2, 17))
    motion = record(worlds, family.training_tasks()[:2], actions)
    assert motion.start.shape == worlds.physics.state.shape
    lived = [len(controls) for controls in motion.controls]
    assert all(5 < steps < 200 for steps in lived)
    assert motion.steps == sum(lived)
    np.testing.assert_array_equal(motion.controls[1][4], 0.4 * actions[4, 1])


def test_rates_follow_from_steps_and_seconds() -> None:
    ticks = count()
    # Every look at this clock is one second later: ours takes 1 s a pass, the bare loop 1 s for each world.
    row = measure_family(make_cheetah_vel(), SMALL, clock=lambda: float(next(ticks)))
    assert row["ours_steps_per_s"] == pytest.approx(6.0)
    assert row["bare_steps_per_s"] == pytest.approx(3.0)
    assert row["ratio"] == pytest.approx(2.0)
    assert row["reached"]
    assert row["physics_steps_per_step"] == 5


def test_the_bare_loop_takes_the_worlds_physics_steps() -> None:
    worlds = make_dclaw_turn().make_worlds(2, 1)
    motion = record(worlds, np.zeros((2, 1)), np.random.default_rng(0).uniform(-1.0, 1.0, (3, 2, 9)))
    assert motion.steps == 6
    assert worlds.physics.substeps == 40
    assert time_bare(worlds.physics, motion, clock=lambda: 0.0) == 0.0


def test_the_command_writes_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--family", "cheetah-vel", "--worlds", "2", "--repetitions", "1"]
    status = main([*arguments, "--json", str(tmp_path / "f.json")])
    report = json.loads((tmp_path / "f.json").read_text())
    assert status == (0 if report["reached"] else 1)
    assert [row["family"] for row in report["families"]] == ["cheetah-vel"]
    assert report["machine"]["cpus"] >= 1
    assert "cheetah-vel" in capsys.readouterr().out
