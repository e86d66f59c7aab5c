# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of the bus count; long forms are `python -m benchmarks.serial_cycle` and `.serial_success`."""

from __future__ import annotations

import os
import signal
import threading
import time
from math import radians
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pitaya_nodes")

from benchmarks.serial_cycle import bus_time_s, measure
from benchmarks.serial_success import SerialHand, adapt
from benchmarks.stalls import Sleepers, Stall, stalls_noticed, summary
from meta_rl_core.families.dclaw_turn import RESET_POSE_RAD
from meta_rl_core.runtime.evaluator import Protocol
from meta_rl_core.runtime.robot_description import RobotDescription
from sim_bridge.dclaw.model import start_state
from tests.hardware.virtual import VirtualRobot
from tests.helpers.bundles import make_random_bundle


def test_a_cycle_of_ten_motors_takes_3_9_ms_of_the_bus(robot: RobotDescription) -> None:
    hand = VirtualRobot(robot).ready()
    # Written: 14 + 9 * 5 = 59 bytes; asked: 14 + 10 = 24; answered: 10 * (11 + 20) = 310; ten bits each at 1 Mbit/s.
    assert bus_time_s(motors=10, commanded=9, baud_rate=1_000_000) == pytest.approx(3.93e-3)
    results = measure(hand.driver, hand.port, cycles=50)
    # Every tenth cycle brings a command, written at once: 59 bytes more. Here and there a byte is put in, where three
    # others look like a header.
    assert results["bus_ms_per_cycle_by_arithmetic"] == pytest.approx(3.93 + 0.059)
    assert results["bus_ms_per_cycle"] == pytest.approx(3.93 + 0.059, rel=3e-3)
    assert results["late_cycles"] == results["incomplete_cycles"] == 0
    # In virtual time nothing but the bus takes time.
    assert results["duration_ms"]["largest"] == pytest.approx(3.93 + 0.59, abs=0.1)


def test_an_episode_on_the_bus_begins_where_the_simulated_one_does(robot: RobotDescription) -> None:
    hand = SerialHand(robot)
    reading = hand.reset(5)
    assert hand.emulation.hand.angle("valve_joint") == pytest.approx(start_state(5)[10], abs=radians(5.1))
    np.testing.assert_allclose(reading.position[:9], RESET_POSE_RAD, atol=radians(5.1))
    # What the policy is told is what the encoders tell: whole ticks of 2 pi / 4096 rad.
    ticks = reading.position * 4096.0 / (2.0 * np.pi)
    np.testing.assert_allclose(ticks, np.round(ticks), atol=1e-9)
    assert hand.cycle().stamp_ns - reading.stamp_ns == pytest.approx(10_000_000, abs=100_000)


def test_the_gates_soft_start_lets_a_tenth_of_the_first_step_pass_and_all_of_it_half_a_second_later(
    robot: RobotDescription,
) -> None:
    hand = SerialHand(robot)
    measured = hand.reset(5).position[:9]
    wanted = measured + 0.1
    # A tenth of the 2.0944 rad/s * 0.1 s that are allowed.
    np.testing.assert_allclose(hand.command(wanted, measured) - measured, 0.020944, atol=1e-6)
    for _ in range(51):
        measured = hand.cycle().position[:9]
    np.testing.assert_array_equal(hand.command(measured + 0.1, measured), measured + 0.1)
    assert hand.refused == 0


def test_a_policy_meets_a_task_on_the_bus_and_what_the_soft_start_cut_does_not_count(
    robot: RobotDescription, tmp_path: Path
) -> None:
    bundle = make_random_bundle(tmp_path / "dclaw-turn")
    outcomes, counted = adapt(
        SerialHand(robot), bundle, 1.0, Protocol(episodes=1, exploration_episodes=0), [1, 2]
    )
    assert [outcome.steps for outcome in outcomes] == [40]
    assert [outcome.judged for outcome in outcomes] == [40]
    # Five steps lie within the half second; they may reach as far as chosen by chance.
    assert 35 <= counted <= 36


def test_late_cycles_are_held_against_what_a_program_that_only_sleeps_notices() -> None:
    sleepers = Sleepers()
    sleepers.stalls = [Stall(1.0, 1.003, 0), Stall(2.0, 2.012, 1)]
    assert summary(sleepers) == {
        "stalls_over_2_ms": 2,
        "stalls_over_4_ms": 1,
        "stalls_over_10_ms": 1,
        "largest_ms": 12.0,
    }
    assert sleepers.overlapping(1.002, 1.012)
    assert not sleepers.overlapping(1.003, 2.0)
    assert sleepers.overlapping(1.9, 2.001)


def test_a_sleeper_runs_on_every_processor_and_notices_that_it_was_stopped() -> None:
    with stalls_noticed() as sleepers:
        task = f"/proc/self/task/{threading.get_native_id()}/children"
        children = [int(pid) for pid in Path(task).read_text().split()]
        assert len(children) >= len(os.sched_getaffinity(0))
        for pid in children:
            os.kill(pid, signal.SIGSTOP)
        begin_s = time.monotonic()
        time.sleep(0.3)
        end_s = time.monotonic()
        for pid in children:
            os.kill(pid, signal.SIGCONT)
        time.sleep(0.05)
    long = {stall.processor for stall in sleepers.stalls if stall.woke_s - stall.due_s > 0.25}
    assert long == os.sched_getaffinity(0)
    assert sleepers.overlapping(begin_s + 0.1, end_s)
