# SPDX-License-Identifier: Apache-2.0
"""A hand of a known body is excited through the gate, recorded, and its body is found again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from meta_rl_core.families.dclaw_turn import CLAW_JOINTS, make_robot
from meta_rl_core.registry import load_family
from meta_rl_core.runtime.terms import JointReading
from pitaya_nodes.excitation import Excitation
from pitaya_nodes.excitation_run import ExcitationSettings, run_excitation
from pitaya_nodes.interrupts import Interrupts
from pitaya_nodes.processes import ProcessGroup
from pitaya_nodes.recorded_steps import read_steps
from pitaya_nodes.recording import read_messages
from sim_bridge.identify.body import Body, BodyModel
from sim_bridge.identify.steps import predict
from tests.ros.graph import REPOSITORY

MS = 1_000_000
UP = REPOSITORY / "config" / "bringup" / "dclaw_robot.yaml"
PITAYA = [sys.executable, "-c", "from meta_rl_core.cli.main import run; run()"]
TASK_SEED = 4
"""A body with three prongs: 5.28 N m/rad, 0.006 N m, 68 ms."""


@pytest.fixture(scope="module")
def excited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of `pitaya excite` on a simulated hand in lock-step."""
    folder = tmp_path_factory.mktemp("excited") / "run"
    words = ["excite", "--task-seed", str(TASK_SEED), "--seed", "3", "--steps", "22", "--out", str(folder)]
    done = subprocess.run([*PITAYA, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"next: pitaya identify {folder}" in done.stdout.replace("\n", " ")
    return folder


def test_what_was_recorded_is_what_the_known_body_does(excited: Path) -> None:
    steps = read_steps(excited / "recording")
    # Of each of two episodes of 22 periods the first one has no former command.
    assert len(steps) == 42
    _, gain, friction, latency_s, prongs = load_family("dclaw-turn-dynamics").heldout_tasks(1, TASK_SEED)[0]
    # The plant acts in physics steps of 2.5 ms.
    body = Body(gain, 0.0, round(latency_s / 0.0025) * 0.0025, friction, int(prongs))
    np.testing.assert_allclose(predict(BodyModel(), body, steps), steps.after, atol=1e-9)
    # Every command went through the filter of the gate: 2 pi / 3 rad/s from the measured position.
    assert np.abs(steps.command - steps.before[:, :9]).max() <= 2.0 * np.pi / 30.0 + 1e-12


def test_the_known_body_is_found_again(excited: Path, tmp_path: Path) -> None:
    out = tmp_path / "ranges.yaml"
    done = subprocess.run(
        [*PITAYA, "identify", str(excited), "--out", str(out)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    measured = yaml.safe_load(out.read_text())["measured"]
    _, gain, friction, latency_s, _ = load_family("dclaw-turn-dynamics").heldout_tasks(1, TASK_SEED)[0]
    assert measured["servo_gain_n_m_rad"] == pytest.approx(gain, rel=0.02)
    assert measured["latency_s"] == pytest.approx(latency_s, abs=0.0025)
    assert measured["valve_friction_n_m"] == pytest.approx(friction, abs=0.01)
    assert measured["joint_friction_n_m"] == pytest.approx(0.0, abs=0.005)
    assert measured["periods"] == 42
    assert measured["periods_valve_moved"] >= 10
    ranges = yaml.safe_load(out.read_text())["ranges"]
    assert ranges["servo_gain_n_m_rad"][0] < gain < ranges["servo_gain_n_m_rad"][1]


def test_a_folder_that_holds_a_recording_is_refused(excited: Path) -> None:
    done = subprocess.run([*PITAYA, "excite", "--out", str(excited)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "already holds a recording" in " ".join((done.stdout + done.stderr).split())


def test_an_emulated_hand_is_moved_through_the_gate_and_its_serial_bus(
    bundle: Path, patient_robot: Path, tmp_path: Path
) -> None:
    pytest.importorskip("dynamixel_sdk")
    link, folder = tmp_path / "hand", tmp_path / "run"
    folder.mkdir()
    patience = {"command_gate": {"command_timeout_s": 0.5, "oldest_state_s": 0.5, "stall_rad": 0.0}}
    settings = ExcitationSettings(
        bring_up=str(UP),
        arguments={"bundle": str(bundle), "port": str(link), "robot": str(patient_robot)},
        folder=folder,
        episodes=1,
        steps=15,
        parameters=patience,
    )
    with Interrupts() as interrupts, ProcessGroup(folder=tmp_path) as group:
        emulator = group.start_command(
            "emulator", [*PITAYA, "emulate", str(patient_robot), "--link", str(link)]
        )
        end_s = time.monotonic() + 60.0
        while not link.exists():
            assert time.monotonic() < end_s, emulator.log_tail(10)
            time.sleep(0.05)
        recording = run_excitation(settings, interrupts, lambda _: None)
    messages = read_messages(recording)
    commands = np.array([message.position for message in messages["/executed_command"]])
    assert len(commands) >= 15
    # The gate begins softly, so the first command is one of small steps; later ones reach further.
    assert np.ptp(commands, axis=0).max() > 0.2
    measured = np.array([message.position for message in messages["/joint_states"]])
    assert np.ptp(measured, axis=0)[:9].max() > 0.1


def test_an_interrupted_excitation_ends_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PITAYA_TEST_MARKER", str(tmp_path))
    log = tmp_path / "log"
    with log.open("wb") as file:
        words = ["excite", "--realtime", "--steps", "10000", "--out", str(tmp_path / "run")]
        started = subprocess.Popen(
            [*PITAYA, *words],
            stdout=file,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    end_s = time.monotonic() + 60.0
    while "episode 1 of 2" not in log.read_text():
        assert time.monotonic() < end_s and started.poll() is None, log.read_text()
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    assert started.wait(30) == 130
    carrying = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            carrying += [folder.name] * (str(tmp_path).encode() in (folder / "environ").read_bytes())
        except OSError:
            continue
    assert set(carrying) <= {str(os.getpid())}


def state(stamp_ms: int) -> JointReading:
    robot = make_robot()
    position = np.full(len(robot.joint_names), 0.1)
    return JointReading(stamp_ms * MS, robot.joint_names, position)


def test_each_pose_is_held_for_four_periods_and_the_first_ones_are_small() -> None:
    motion = Excitation(make_robot(), np.random.default_rng(1), 10, 0)
    assert motion.actions.shape == (10, 9)
    np.testing.assert_allclose(motion.actions[0] * 4.0, motion.actions[3])
    np.testing.assert_allclose(motion.actions[0] * 5.0, motion.actions[3] / 0.8)
    assert (motion.actions[4] == motion.actions[7]).all()
    assert (motion.actions[7] != motion.actions[8]).all()
    assert np.abs(motion.actions).max() <= 1.0


def test_states_of_before_are_left_alone_one_per_period_is_answered_and_a_repeated_one_again() -> None:
    motion = Excitation(make_robot(), np.random.default_rng(1), 2, 1000 * MS)
    assert motion.answer(state(990)) is None
    first = motion.answer(state(1000))
    assert first is not None and first.shape == (len(CLAW_JOINTS),)
    np.testing.assert_array_equal(motion.answer(state(1000)), first)
    assert motion.answer(state(1010)) is None
    assert motion.answer(state(1100)) is not None
    assert (motion.step, motion.done) == (2, False)
    assert motion.answer(state(1200)) is None
    assert motion.done
