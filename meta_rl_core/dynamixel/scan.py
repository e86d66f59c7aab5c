# SPDX-License-Identifier: Apache-2.0
"""Compares the motors on a bus with a robot's description; reads only, changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from meta_rl_core.dynamixel.bus import MotorBus, Pong, SilentMotorError
from meta_rl_core.dynamixel.control_table import (
    BAUD_CODES,
    MODELS,
    RETURN_DELAY_UNIT_US,
    name_errors,
)
from meta_rl_core.dynamixel.port import BusError, SteadyPort
from meta_rl_core.dynamixel.settings import kept_settings
from meta_rl_core.runtime.robot_description import RobotDescription

Kind = Literal[
    "no_motor",
    "other_baud_rate",
    "missing",
    "duplicate",
    "unknown_model",
    "other_model",
    "old_firmware",
    "setting",
    "hardware_error",
]
HARMLESS = ("return_delay_time", "shadow_id", "startup_configuration")
"""Settings that slow the robot down or surprise, but move nothing wrongly."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as the description says.

    Attributes:
        kind: What sort of thing.
        bus_id: Which motor, or None for the bus.
        joint: Its joint, or an empty text.
        message: One sentence: what was found and what is asked for.
        blocks: Whether the robot must not move like this.
        register: Register that differs, or an empty text.
        wanted: What it must hold.
    """

    kind: Kind
    bus_id: int | None
    joint: str
    message: str
    blocks: bool = True
    register: str = ""
    wanted: int = 0


@dataclass(frozen=True)
class Scan:
    """What a scan saw.

    Attributes:
        motors: Answers to pings by joint name.
        registers: EEPROM registers that matter, by joint name.
        findings: What differs; empty for a well-kept robot.
    """

    motors: dict[str, Pong]
    registers: dict[str, dict[str, int]]
    findings: tuple[Finding, ...]

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """Findings with which the robot must not move."""
        return tuple(finding for finding in self.findings if finding.blocks)


def scan(bus: MotorBus, robot: RobotDescription) -> Scan:
    """Pings every motor of the description and compares model, firmware, settings and errors.

    Raises:
        InvalidValueError: If the robot has no Dynamixel bus.
        DisconnectedError: If the port is gone.
    """
    kept = kept_settings(robot)
    motors: dict[str, Pong] = {}
    registers: dict[str, dict[str, int]] = {}
    findings: list[Finding] = []
    for joint, described in robot.motors().items():
        try:
            pong = bus.ping(described.id)
        except SilentMotorError as error:
            findings.append(Finding("duplicate", described.id, joint, f"{joint}: {error}"))
            continue
        if pong is None:
            message = f"{joint}: no motor answers at id {described.id}; check its plug, power and id"
            findings.append(Finding("missing", described.id, joint, message))
            continue
        motors[joint] = pong
        found = _identity(robot, joint, pong)
        findings += found
        if not any(finding.kind == "unknown_model" for finding in found):
            registers[joint] = {name: bus.read(described.id, name) for name in kept[joint]}
            findings += _differences(joint, described.id, kept[joint], registers[joint])
            findings += _errors(joint, described.id, bus.read(described.id, "hardware_error_status"))
    if not motors and not any(finding.kind == "duplicate" for finding in findings):
        findings = [_nobody(bus)]
    return Scan(motors, registers, tuple(findings))


def rates_that_answer(port_path: str, robot: RobotDescription, skip: int) -> list[int]:
    """Baud rates other than `skip` at which a motor of the robot answers."""
    answered = []
    for rate in BAUD_CODES.values():
        if rate in (skip, 4_500_000):
            continue
        bus = MotorBus(SteadyPort(port_path, rate))
        try:
            bus.open()
            if any(bus.ping(motor.id, tries=1) is not None for motor in robot.motors().values()):
                answered.append(rate)
        except BusError:
            continue
        finally:
            bus.close()
    return answered


def explain_silence(bus: MotorBus, robot: RobotDescription) -> Finding:
    """Why nobody answers: looks for the motors at other baud rates; the bus is closed and opened for it."""
    bus.close()
    rates = rates_that_answer(bus.port_name, robot, bus.baud_rate)
    bus.open()
    if not rates:
        return _nobody(bus)
    return Finding(
        "other_baud_rate",
        None,
        "",
        f"the motors on {bus.port_name} answer at {', '.join(map(str, rates))} baud, "
        f"robot {robot.name} asks for {bus.baud_rate}",
    )


def _nobody(bus: MotorBus) -> Finding:
    message = f"no motor answers on {bus.port_name} at {bus.baud_rate} baud; is their power on, is it the right port?"
    return Finding("no_motor", None, "", message)


def _identity(robot: RobotDescription, joint: str, pong: Pong) -> list[Finding]:
    described = robot.motors()[joint]
    model = MODELS.get(pong.model_number)
    known = " and ".join(item.name for item in MODELS.values())
    if model is None:
        message = f"{joint}: motor {pong.bus_id} is of unknown model {pong.model_number}; known are {known}"
        return [Finding("unknown_model", pong.bus_id, joint, message)]
    findings = []
    if model.name != described.model:
        message = f"{joint}: motor {pong.bus_id} is an {model.name}, the description says {described.model}"
        findings.append(Finding("other_model", pong.bus_id, joint, message))
    least = robot.bus.least_firmware if robot.bus else 0
    if pong.firmware < least:
        message = (
            f"{joint}: motor {pong.bus_id} has firmware {pong.firmware}, which is older than {least} and has no "
            "bus watchdog; update it with the vendor's tool"
        )
        findings.append(Finding("old_firmware", pong.bus_id, joint, message))
    return findings


def _differences(joint: str, bus_id: int, wanted: dict[str, int], found: dict[str, int]) -> list[Finding]:
    findings = []
    for name, value in wanted.items():
        if found[name] == value:
            continue
        message = (
            f"{joint}: {name} of motor {bus_id} is {_in_words(name, found[name])}, "
            f"must be {_in_words(name, value)}"
        )
        findings.append(
            Finding("setting", bus_id, joint, message, name not in HARMLESS, register=name, wanted=value)
        )
    return findings


def _errors(joint: str, bus_id: int, bits: int) -> list[Finding]:
    if not bits:
        return []
    message = (
        f"{joint}: motor {bus_id} reports hardware error {name_errors(bits)}; let it cool, then reboot it"
    )
    return [Finding("hardware_error", bus_id, joint, message)]


def _in_words(name: str, value: int) -> str:
    if name == "return_delay_time":
        return f"{value} ({value * RETURN_DELAY_UNIT_US} us)"
    if name == "baud_rate":
        return f"{value} ({BAUD_CODES.get(value, 'unknown')} baud)"
    return str(value)
