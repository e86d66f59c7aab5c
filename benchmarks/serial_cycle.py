# SPDX-License-Identifier: Apache-2.0
"""The driver's cycle against the emulated D'Claw in real time: late cycles, durations, time on the bus.

`python -m benchmarks.serial_cycle [--minutes 10] [--realtime-priority 0] [--json FILE]`. The emulator runs in a
process of its own behind a pseudo-terminal, at the speed of a line of 1 Mbit/s; the driver follows ten commands a
second. A machine that does other work too, or a virtual one that its host lets wait, makes cycles late: programs that
do nothing but sleep run beside it (stalls.py), and late cycles during which one of them was kept waiting too are
counted apart.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.priority import add_option
from benchmarks.report import write_report
from benchmarks.stalls import stalls_noticed, summary
from meta_rl_core.dynamixel.block import LENGTH
from meta_rl_core.dynamixel.bus import BITS_PER_BYTE, REQUEST_BYTES, STATUS_BYTES
from meta_rl_core.dynamixel.control_table import REGISTERS
from meta_rl_core.dynamixel.driver import HandDriver
from meta_rl_core.dynamixel.mode import Mode
from meta_rl_core.dynamixel.port import SteadyPort
from meta_rl_core.dynamixel.routines import to_start
from meta_rl_core.runtime.robot_file import find_robot, load_robot
from pitaya_nodes.realtime import keep_awake, take_priority

EMULATE = "from meta_rl_core.cli.main import run; run()"
COMMANDS_PER_S, SWING_RAD, SWING_S = 10, 0.1, 2.0
_EMULATOR_STARTS_S = 60.0


class ByteCounter:
    """Counts the bytes that go over a port.

    Attributes:
        count: Bytes so far, both ways.
    """

    def __init__(self, port: SteadyPort) -> None:
        """Puts itself between a port and whoever uses it."""
        self.count = 0
        self._write, self._read = port.writePort, port.readPort
        port.writePort, port.readPort = self._count_write, self._count_read  # type: ignore[method-assign]

    def _count_write(self, packet: Sequence[int]) -> int:
        self.count += len(packet)
        return self._write(packet)

    def _count_read(self, length: int) -> bytes:
        data = self._read(length)
        self.count += len(data)
        return data


@contextmanager
def emulated(robot: str, realtime_priority: int = 0) -> Iterator[str]:
    """An emulated robot in a process of its own; gives the path of its serial port.

    Args:
        robot: Name or path of its description.
        realtime_priority: Of that process, under SCHED_FIFO, for it stands for motors; 0 for an ordinary one.

    Raises:
        TimeoutError: If it does not start.
    """
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "hand"
        process = subprocess.Popen(
            [sys.executable, "-c", EMULATE, "emulate", robot, "--link", str(link)], stdout=subprocess.DEVNULL
        )
        try:
            end_s = time.monotonic() + _EMULATOR_STARTS_S
            while not link.exists():
                if process.poll() is not None or time.monotonic() > end_s:
                    raise TimeoutError(f"the emulator did not start within {_EMULATOR_STARTS_S:g} s")
                time.sleep(0.02)
            if realtime_priority:
                os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(realtime_priority))
            yield str(link)
        finally:
            process.terminate()
            process.wait()


def bus_time_s(motors: int, commanded: int, baud_rate: int, commands: float = 0.0) -> float:
    """Time that the bytes of one cycle take: a sync write of goals, a sync read, and its answers [s].

    A new command is written at once, so it takes one write more; there are `commands` of them per cycle.

    Without stuffing, return delay and the adapter's latency.
    """
    write = REQUEST_BYTES + commanded * (1 + REGISTERS["goal_position"].size)
    read = REQUEST_BYTES + motors + motors * (STATUS_BYTES + LENGTH)
    return ((1.0 + commands) * write + read) * BITS_PER_BYTE / baud_rate


def measure(driver: HandDriver, port: SteadyPort, cycles: int, realtime_priority: int = 0) -> dict[str, Any]:
    """Runs cycles at the state rate and takes their time, beside programs that only sleep.

    Args:
        driver: Holds the hand.
        port: Its serial port.
        cycles: How many.
        realtime_priority: That of this process; the sleepers have a higher one.
    """
    with stalls_noticed(realtime_priority and realtime_priority + 1) as sleepers:
        results, late = _run(driver, port, cycles)
    results["late_cycles_while_a_sleeper_waited"] = sum(sleepers.overlapping(*cycle) for cycle in late)
    return {**results, "sleepers": summary(sleepers)}


def _run(
    driver: HandDriver, port: SteadyPort, cycles: int
) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    """Runs the cycles; gives the report and, of each late cycle, when it was due and when it ended [s].

    A cycle is late if it ends after the next one should have begun, which then begins at once.
    """
    period_s = 1.0 / driver.robot.state_hz
    start, incomplete = driver.robot.start_rad, 0
    late: list[tuple[float, float]] = []
    duration_s, begin_late_s = np.zeros(cycles), np.zeros(cycles)
    per_command = round(driver.robot.state_hz / COMMANDS_PER_S)
    driver.command(start)
    counter, due_s = ByteCounter(port), driver.clock()
    for number in range(cycles):
        port.sleep(due_s - driver.clock())
        begin_s = driver.clock()
        if number % per_command == 0 and driver.mode in (Mode.HOLD, Mode.FOLLOW):
            driver.command(start + SWING_RAD * np.sin(2.0 * np.pi * number * period_s / SWING_S))
        incomplete += driver.cycle() is None
        end_s = driver.clock()
        begin_late_s[number], duration_s[number] = begin_s - due_s, end_s - begin_s
        if end_s > due_s + period_s:
            late.append((due_s, end_s))
        due_s = max(due_s + period_s, end_s)
    used_s = counter.count * BITS_PER_BYTE / port.baudrate
    traffic = driver.link.bus.traffic
    report = {
        "cycles": cycles,
        "state_hz": driver.robot.state_hz,
        "late_cycles": len(late),
        "incomplete_cycles": incomplete,
        "mode_at_end": driver.mode.value,
        "holds": driver.holds,
        "answers_lost": traffic.lost,
        "answers_late": driver.link.late,
        "answers_corrupt": traffic.corrupt + driver.link.corrupt,
        "duration_ms": _quantiles(duration_s),
        "begin_after_due_ms": _quantiles(begin_late_s),
        "bus_ms_per_cycle": round(1e3 * used_s / cycles, 3),
        "bus_ms_per_cycle_by_arithmetic": round(
            1e3
            * bus_time_s(
                len(driver.robot.motors()), len(driver.robot.joints), port.baudrate, 1.0 / per_command
            ),
            3,
        ),
    }
    return report, late


def _quantiles(times_s: np.ndarray[Any, Any]) -> dict[str, float]:
    shares = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "largest": 1.0}
    return {name: round(1e3 * float(np.quantile(times_s, share)), 2) for name, share in shares.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; the exit status is 1 if a cycle was late or incomplete."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--robot", default="dclaw", help="name or path of a robot description")
    add_option(parser, "driver and emulator")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    robot = load_robot(find_robot(options.robot))
    if robot.bus is None:
        parser.error(f"robot {robot.name} has no Dynamixel bus")
    take_priority(options.realtime_priority)
    let_sleep, _ = keep_awake(options.realtime_priority)
    with emulated(options.robot, options.realtime_priority) as path:
        port = SteadyPort(path, robot.bus.baud_rate, robot.bus.latency_timer_ms / 1000.0)
        driver = HandDriver(robot, port)
        driver.connect()
        try:
            driver.cycle()
            driver.start(to_start(driver))
            while driver.mode is Mode.ROUTINE:
                driver.cycle()
                time.sleep(0.5 / robot.state_hz)
            # As a node does when it is activated.
            gc.collect()
            gc.freeze()
            cycles = max(round(60.0 * options.minutes * robot.state_hz), 1)
            results = measure(driver, port, cycles, options.realtime_priority)
        finally:
            driver.close()
            let_sleep()
    settings = {"minutes": options.minutes, "realtime_priority": options.realtime_priority}
    write_report(options.json, {**settings, **results})
    return int(results["late_cycles"] > 0 or results["incomplete_cycles"] > 0)


if __name__ == "__main__":
    raise SystemExit(main())
