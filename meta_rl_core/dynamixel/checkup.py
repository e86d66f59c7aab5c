# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a robot's bus, as rows of a table with the command that helps; it only reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from meta_rl_core.dynamixel.bus import BITS_PER_BYTE, REQUEST_BYTES, STATUS_BYTES, MotorBus
from meta_rl_core.dynamixel.control_table import HIGHEST_ID, REGISTERS
from meta_rl_core.dynamixel.port import BusError, SteadyPort
from meta_rl_core.dynamixel.scan import Finding, Scan, explain_silence, scan
from meta_rl_core.runtime.checkup import Row
from meta_rl_core.runtime.robot_description import RobotDescription

CYCLES = 200
_BLOCK = (126, 10)
"""Current, velocity and position in one read."""
_MOST_ERRORS = 0.001
_LEAST_VOLTAGE_V, _MOST_VOLTAGE_V = 10.0, 14.8
_WARM_C = 10
TRIPPED = 255
UNTUNED_LATENCY_S = 0.016
"""An adapter as it comes out of the box must be waited for, or every motor would look dead."""
SYSFS = Path("/sys")


def check_bus(
    port: str,
    robot: RobotDescription,
    cycles: int = CYCLES,
    sysfs: Path = SYSFS,
    addresses: Iterable[int] = range(HIGHEST_ID + 1),
    latency_s: float = UNTUNED_LATENCY_S,
    clock: Callable[[], float] = time.monotonic,
) -> list[Row]:
    """Looks at port, motors, settings, state and speed of a robot's bus; changes nothing.

    Args:
        port: Serial port.
        robot: What ought to be there.
        cycles: Read and write cycles to measure.
        sysfs: Where Linux shows devices.
        addresses: Where to look for strangers when a motor is missing.
        latency_s: How long answers may take on top of what their bytes take [s], twice.
        clock: Steady time [s].
    """
    if robot.bus is None:
        return [
            Row("bus", "fix", f"robot {robot.name} has no Dynamixel bus", "give another file with --robot")
        ]
    bus = MotorBus(SteadyPort(port, robot.bus.baud_rate, latency_s))
    rows: list[Row] = []
    try:
        bus.open()
    except BusError as error:
        return [Row("port", "fix", str(error), f"ls -l {port}")]
    try:
        rows += [
            Row("port", "ok", f"{port} opens at {robot.bus.baud_rate} baud"),
            check_latency(port, robot, sysfs),
        ]
        seen = scan(bus, robot)
        if not seen.motors and not any(finding.kind == "duplicate" for finding in seen.findings):
            return [*rows, _row(port, explain_silence(bus, robot))]
        rows += _motor_rows(port, bus, robot, seen, addresses)
        rows += _state_rows(port, bus, robot, seen)
        rows += measure_cycle(bus, robot, seen, cycles, clock)
        return rows
    except BusError as error:
        return [*rows, Row("bus", "fix", str(error), f"check plugs, then: pitaya doctor --port {port}")]
    finally:
        bus.close()


def check_latency(port: str, robot: RobotDescription, sysfs: Path) -> Row:
    """The latency timer of a USB adapter: each read waits that long unless it is tuned."""
    wanted = robot.bus.latency_timer_ms if robot.bus else 1
    name = Path(port).resolve().name
    path = sysfs / "bus" / "usb-serial" / "devices" / name / "latency_timer"
    try:
        found = int(path.read_text().strip())
    except (OSError, ValueError):
        return Row("USB latency timer", "ok", f"{name} shows none: no adapter that has one")
    if found <= wanted:
        return Row("USB latency timer", "ok", f"{found} ms")
    return Row(
        "USB latency timer",
        "fix",
        f"{found} ms, must be at most {wanted} ms",
        f"echo {wanted} | sudo tee {path}",
    )


def _motor_rows(
    port: str, bus: MotorBus, robot: RobotDescription, seen: Scan, addresses: Iterable[int]
) -> list[Row]:
    rows = [_row(port, finding) for finding in seen.findings]
    whole = sorted(set(seen.motors) - {finding.joint for finding in seen.findings})
    if whole:
        rows.insert(
            0, Row("motors", "ok", f"{len(whole)} of {len(robot.motors())} as described: {', '.join(whole)}")
        )
    if any(finding.kind == "missing" for finding in seen.findings):
        rows += _strangers(bus, robot, addresses)
    return rows


def _strangers(bus: MotorBus, robot: RobotDescription, addresses: Iterable[int]) -> list[Row]:
    """Motors at addresses the robot does not have: most likely the missing ones."""
    known = {motor.id for motor in robot.motors().values()}
    found = [bus_id for bus_id in addresses if bus_id not in known and _answers(bus, bus_id)]
    return [
        Row(
            "motor id",
            "fix",
            f"a motor answers at id {bus_id}, which robot {robot.name} does not have",
            _WIZARD,
        )
        for bus_id in found
    ]


_WIZARD = "set its id with DYNAMIXEL Wizard, that motor alone on the bus"


def _answers(bus: MotorBus, bus_id: int) -> bool:
    try:
        return bus.ping(bus_id, tries=1) is not None
    except BusError:
        return True


def _row(port: str, finding: Finding) -> Row:
    helps = {
        "no_motor": f"switch the power on, then: pitaya doctor --port {port}",
        "other_baud_rate": "set baud_rate in the robot's file, or the motors' with DYNAMIXEL Wizard",
        "missing": f"check plug and power, then: pitaya doctor --port {port}",
        "duplicate": _WIZARD,
        "unknown_model": "replace the motor",
        "other_model": "set dynamixel.model of the joint in the robot's file, or replace the motor",
        "old_firmware": "update it with DYNAMIXEL Wizard",
        "setting": f"pitaya doctor --port {port} --fix",
        "hardware_error": f"pitaya doctor --port {port} --reboot {finding.bus_id}",
    }
    subject = finding.register or finding.kind.replace("_", " ")
    return Row(subject, "fix" if finding.blocks else "slow", finding.message, helps[finding.kind])


def _state_rows(port: str, bus: MotorBus, robot: RobotDescription, seen: Scan) -> list[Row]:
    """Torque, watchdog, heat and voltage as they are now."""
    powered, tripped, rows = [], [], []
    hottest, volts = (0, ""), []
    for joint in seen.registers:
        bus_id = seen.motors[joint].bus_id
        value = {name: bus.read(bus_id, name) for name in _STATE}
        if value["torque_enable"]:
            powered.append(joint)
        if value["bus_watchdog"] == TRIPPED:
            tripped.append(joint)
        hottest = max(hottest, (value["present_temperature"], joint))
        volts.append(value["present_input_voltage"] / 10.0)
        limit = robot.motors()[joint].temperature_limit_c
        if value["present_temperature"] >= limit - _WARM_C:
            rows.append(
                Row(
                    "temperature",
                    "fix",
                    f"{joint} has {value['present_temperature']} C, its limit is {limit} C",
                    "let it cool",
                )
            )
    if powered:
        rows.append(
            Row(
                "torque",
                "fix",
                f"on at {', '.join(powered)}: another program drives them",
                f"fuser -v {port}",
            )
        )
    if tripped:
        rows.append(
            Row(
                "bus watchdog",
                "fix",
                f"tripped at {', '.join(tripped)}: their goals are locked",
                f"pitaya doctor --port {port} --fix",
            )
        )
    if volts and not _LEAST_VOLTAGE_V <= min(volts) <= max(volts) <= _MOST_VOLTAGE_V:
        said = (
            f"{min(volts):.1f} to {max(volts):.1f} V, must be {_LEAST_VOLTAGE_V:g} to {_MOST_VOLTAGE_V:g} V"
        )
        rows.append(Row("voltage", "fix", said, "check the power supply"))
    if rows or not volts:
        return rows
    return [
        Row(
            "state",
            "ok",
            f"torque off, watchdogs clear, up to {hottest[0]} C, {min(volts):.1f} to {max(volts):.1f} V",
        )
    ]


_STATE = ("torque_enable", "bus_watchdog", "present_temperature", "present_input_voltage")


def measure_cycle(
    bus: MotorBus, robot: RobotDescription, seen: Scan, cycles: int, clock: Callable[[], float]
) -> list[Row]:
    """Time and errors of reading all motors at once and writing to all at once.

    What is written is the state of the LEDs, as it is.
    """
    ids = [pong.bus_id for joint, pong in seen.motors.items() if joint in seen.registers]
    if not ids or cycles < 1:
        return []
    lights = {bus_id: bus.read(bus_id, "led") for bus_id in ids}
    durations, missing = [], 0
    for _ in range(cycles):
        begin_s = clock()
        missing += len(ids) - len(bus.read_many(ids, *_BLOCK))
        bus.write_many("led", lights)
        durations.append(clock() - begin_s)
    share, period_s = missing / (cycles * len(ids)), 1.0 / robot.state_hz
    wire_s = _wire_s(len(ids), bus.baud_rate)
    p99_s = float(np.quantile(durations, 0.99))
    said = (
        f"mean {1e3 * np.mean(durations):.1f} ms, p99 {1e3 * p99_s:.1f} ms, "
        f"of which {1e3 * wire_s:.1f} ms on the wire; "
        f"{1e3 * period_s:.0f} ms are there"
    )
    slow = Row(
        "cycle time", "slow", said, "set return_delay_time and the USB latency timer, close other programs"
    )
    rows = [slow if p99_s > period_s else Row("cycle time", "ok", said)]
    lost = f"{missing} of {cycles * len(ids)} readings lost ({100 * share:.2f} %)"
    rows.append(
        Row("bus errors", "fix", lost, "check plugs, cable length and termination")
        if share > _MOST_ERRORS
        else Row("bus errors", "ok", lost)
    )
    return rows


def _wire_s(motors: int, baud_rate: int) -> float:
    """What the bytes of one cycle take at least."""
    read = REQUEST_BYTES + motors + motors * (STATUS_BYTES + _BLOCK[1])
    write = REQUEST_BYTES + motors * (1 + REGISTERS["led"].size)
    return (read + write) * BITS_PER_BYTE / baud_rate
