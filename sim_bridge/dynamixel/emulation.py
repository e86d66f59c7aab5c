# SPDX-License-Identifier: Apache-2.0
"""An emulated robot on a bus in its own time: bytes in, bytes out with the time at which they arrive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, cast

from meta_rl_core.dynamixel.control_table import REGISTERS, model_named
from meta_rl_core.dynamixel.packet import Packet, PacketReader
from meta_rl_core.dynamixel.settings import kept_settings
from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.fields import Fields
from meta_rl_core.runtime.robot_description import MOTOR_MODELS, MotorModel, RobotDescription
from meta_rl_core.runtime.strict_yaml import read_yaml
from sim_bridge.dynamixel.chain import BITS_PER_BYTE, Chain
from sim_bridge.dynamixel.faults import Fault, FaultScript
from sim_bridge.dynamixel.hand import MujocoHand
from sim_bridge.dynamixel.motor import Motor

MOST_SUBSTEPS = 8
"""Motors look after their limits at least this often (20 ms)."""


class Delivery(NamedTuple):
    """Bytes on the wire and when the last of them arrives [s]."""

    due_s: float
    data: bytes


@dataclass(frozen=True)
class Oddity:
    """How one motor differs from what the robot's description asks for.

    Attributes:
        missing: It is not there.
        twice: A second motor has the same address.
        model: Another model answers.
        firmware: Firmware version.
        settings: EEPROM registers that hold something else.
    """

    missing: bool = False
    twice: bool = False
    model: MotorModel | None = None
    firmware: int = 45
    settings: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """What is wrong with an emulated robot: by address, odd motors; and a fault script."""

    motors: Mapping[int, Oddity] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


class Emulation:
    """A robot's motors on one bus, and the hand they move.

    Attributes:
        chain: The motors.
        hand: What they move.
        faults: What goes wrong.
        now_s: Emulated time [s].
    """

    def __init__(self, robot: RobotDescription, scenario: Scenario | None = None, seed: int = 0) -> None:
        """Switches the robot on.

        Args:
            robot: Its description; a well-kept robot unless the scenario says otherwise.
            scenario: What is wrong with it.
            seed: Seed of the valve's start angle and of the faults.

        Raises:
            InvalidValueError: If the robot has no Dynamixel bus.
        """
        scenario = scenario or Scenario()
        self._by_joint, motors = _make_motors(robot, scenario)
        self.chain = Chain(motors)
        self.hand = MujocoHand(self._by_joint, robot.motors(), seed)
        self.faults = FaultScript(scenario.faults, seed)
        self.now_s = 0.0
        self._reader = PacketReader()
        self._quiet_s = 0.0

    def advance_to(self, now_s: float) -> None:
        """Lets time pass up to `now_s`, in whole physics steps."""
        while (left := int((now_s - self.now_s) / self.hand.timestep_s + 1e-9)) > 0:
            substeps = min(left, MOST_SUBSTEPS)
            self.hand.advance(substeps)
            self.now_s += substeps * self.hand.timestep_s
            self.faults.apply(self.chain, self.now_s)
            if not self.chain.powered:
                for motor in self.chain.motors:
                    motor.table["torque_enable"] = 0

    def receive(
        self, data: bytes, at_s: float, baud_rate: int, clock_s: float | None = None
    ) -> list[Delivery]:
        """Takes bytes that a client put on the wire.

        Args:
            data: The bytes.
            at_s: When it began [s].
            baud_rate: Its baud rate [bit/s].
            clock_s: What the motors' clocks show, which go on where emulated time is held up; by default `at_s` [s].

        Returns:
            What arrives back, each answer as a whole.
        """
        self.advance_to(at_s)
        self.faults.apply(self.chain, self.now_s)
        self.chain.tell_time(at_s if clock_s is None else clock_s)
        deliveries = []
        for packet in self._reader.feed(data):
            delivery = self._answer(packet, at_s + len(data) * BITS_PER_BYTE / baud_rate, baud_rate)
            if delivery is not None:
                deliveries.append(delivery)
        return deliveries

    def _answer(self, packet: Packet, at_s: float, baud_rate: int) -> Delivery | None:
        due_s = max(at_s, self._quiet_s)
        arrived = b""
        for reply in self.chain.answer(packet, baud_rate):
            heard = self.faults.distort(reply, self.now_s)
            delay_s = reply.delay_s if heard is None else heard.delay_s
            due_s += delay_s + len(reply.data) * BITS_PER_BYTE / baud_rate
            arrived += b"" if heard is None else heard.data
        self._quiet_s = due_s
        return Delivery(due_s, arrived) if arrived else None


def read_scenario(path: Path) -> Scenario:
    """Reads what is wrong with an emulated robot.

    Raises:
        InvalidValueError: If the file cannot be read or holds something unknown.
    """
    fields = Fields(read_yaml(path), str(path))
    motors = {}
    if "motors" in fields.values:
        rows = fields.inner("motors")
        motors = {_bus_id(name): _oddity(rows.inner(name)) for name in rows.values}
    faults = fields.items("faults") if "faults" in fields.values else []
    scenario = Scenario(motors, tuple(Fault.from_fields(item) for item in faults))
    fields.finish()
    return scenario


def _bus_id(name: str) -> int:
    text = name.removeprefix("id_")
    if not text.isdigit() or text == name:
        raise InvalidValueError(f"motors are named id_10, id_11 and so on, got {name!r}")
    return int(text)


def _oddity(fields: Fields) -> Oddity:
    given = fields.values
    settings = fields.inner("settings") if "settings" in given else Fields({}, "settings")
    unknown = sorted(set(settings.values) - set(REGISTERS))
    if unknown:
        raise InvalidValueError(f"{settings.where} has unknown registers {', '.join(unknown)}")
    oddity = Oddity(
        missing=fields.flag("missing") if "missing" in given else False,
        twice=fields.flag("twice") if "twice" in given else False,
        model=cast(MotorModel, fields.text("model", MOTOR_MODELS)) if "model" in given else None,
        firmware=fields.integer("firmware", 0, 255) if "firmware" in given else 45,
        settings={name: settings.integer(name, -(2**31), 2**32 - 1) for name in settings.values},
    )
    fields.finish()
    return oddity


def _make_motors(robot: RobotDescription, scenario: Scenario) -> tuple[dict[str, Motor], list[Motor]]:
    kept = kept_settings(robot)
    by_joint, motors = {}, []
    for joint, described in robot.motors().items():
        oddity = scenario.motors.get(described.id, Oddity())
        if oddity.missing:
            continue
        model = model_named(oddity.model or described.model)
        settings = {**kept[joint], **oddity.settings}
        by_joint[joint] = Motor(model, described.id, firmware=oddity.firmware, settings=settings)
        motors.append(by_joint[joint])
        if oddity.twice:
            motors.append(Motor(model, described.id, firmware=oddity.firmware, settings=settings))
    return by_joint, motors
