# SPDX-License-Identifier: Apache-2.0
"""Faults of the motors' bus: damaged answers, error bits, power cycles; the driver on an emulated hand."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.serial_faults import count_wrong_values
from meta_rl_core.dynamixel.mode import Mode
from meta_rl_core.runtime.robot_file import find_robot, load_robot
from sim_bridge.dynamixel.faults import Fault
from tests.faults.tally import Tally
from tests.hardware.virtual import VirtualRobot

TICK_RAD = 2.0 * np.pi / 4096
HOLD_S, NOTICED_S, LARGEST_JUMP_RAD = 0.2, 0.5, 0.05
ERROR_BITS = (0, 1, 2, 3, 4, 5)
"""Input voltage, hall sensor, overheating, encoder, electrical shock, overload (data sheet, register 70)."""
_REPORTED_LATE_S = 1.0


def _hand() -> VirtualRobot:
    return VirtualRobot(load_robot(find_robot("dclaw"))).ready()


def damaged_answers(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 19 a: an answer with flipped, lost, doubled or foreign bytes is refused or says what the motor said."""
    del folder
    found = count_wrong_values(cases, int(generator.integers(2**31)))
    tally = Tally(cases=cases, failures=found["wrong"])
    tally.measured = {
        "refused by the checksum": found["checksum"],
        "refused as impossible": found["impossible"],
    }
    tally.measured["taken, with nothing of theirs changed"] = found["right"]
    return tally


def dead_bus(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 19 b: no motor answers for a while; the driver holds, and old goals never come back."""
    del folder
    return _outages("silent", 0.3, HOLD_S, cases, generator)


def error_bits(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 20: each finger motor reports each error; the whole hand holds and the reason names motor and bit."""
    del folder
    tally, hand = Tally(), _hand()
    motors = [
        motor.id
        for name, motor in hand.driver.robot.motors().items()
        if name in hand.driver.robot.joint_names
    ]
    matrix = list(product(motors, ERROR_BITS))
    for index in generator.permutation(len(matrix))[:cases]:
        bus_id, bit = matrix[index]
        hand.emulation.chain.motor(bus_id).raise_errors(1 << bit)
        took_s = hand.until(lambda: hand.driver.mode is Mode.FAULT, _REPORTED_LATE_S)
        reason = hand.driver.reason
        named = f"motor {bus_id} (" in reason and f"bit {bit} " in reason
        complaint = (
            ""
            if named and took_s <= HOLD_S
            else f"motor {bus_id} bit {bit}: {1e3 * took_s:.0f} ms, {reason!r}"
        )
        tally.case(complaint, latency_s=took_s)
        hand.driver.reboot_failed()
        hand.driver.torque(hand.driver.robot.joint_names, True)
        hand.driver.hold()
        hand.cycle()
    tally.measured = {"finger motors": len(motors), "error bits": len(ERROR_BITS)}
    return tally


def power_cycles(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 21: all motors lose power for up to a second; noticed, and back without a jump."""
    del folder
    return _outages("power", 0.02, NOTICED_S, cases, generator)


def _outages(
    kind: str, shortest_s: float, allowed_s: float, cases: int, generator: np.random.Generator
) -> Tally:
    """Motors fall silent for up to a second while the hand follows: when that was seen, where goals are after it."""
    tally, hand = Tally(), _hand()
    for number in range(cases):
        hand.follow(float(generator.uniform(0.2, 0.5)))
        off_s = float(generator.uniform(shortest_s, 1.0))
        hand.emulation.faults.add(Fault(kind, 0.0, hand.port.now_s + off_s))
        seen_s = hand.until(lambda: hand.driver.mode is not Mode.FOLLOW, 2.0)
        hand.until(lambda: hand.driver.mode is Mode.HOLD)
        hand.emulation.faults.clear()
        jump_rad = _jump_rad(hand)
        late = f"case {number}: seen after {1e3 * seen_s:.0f} ms" if seen_s > allowed_s else ""
        jumped = f"case {number}: goals {jump_rad:.3f} rad away" if jump_rad > LARGEST_JUMP_RAD else ""
        tally.case(late or jumped, latency_s=seen_s)
    return tally


def _jump_rad(hand: VirtualRobot) -> float:
    """How far the goal of a finger motor with torque lies from where it stands."""
    tables = [
        hand.emulation.chain.motor(motor.id).table
        for name, motor in hand.driver.robot.motors().items()
        if name in hand.driver.robot.joint_names
    ]
    assert all(table["torque_enable"] == 1 for table in tables)
    return max(abs(table["goal_position"] - table["present_position"]) for table in tables) * TICK_RAD
