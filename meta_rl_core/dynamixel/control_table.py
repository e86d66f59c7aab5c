# SPDX-License-Identifier: Apache-2.0
"""The control table of X-series motors (Protocol 2.0), their models and the units of each model.

Addresses, defaults and ranges: ROBOTIS e-Manual, pages XM430-W210 and XH430-V210.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum, IntFlag

RAD_PER_TICK = 2.0 * math.pi / 4096.0
TICKS_PER_TURN = 4096
RAD_S_PER_UNIT = 0.229 * 2.0 * math.pi / 60.0
"""Velocity unit of both models: 0.229 revolutions per minute."""
WATCHDOG_UNIT_S = 0.02
RETURN_DELAY_UNIT_US = 2
BAUD_CODES = {
    0: 9600,
    1: 57_600,
    2: 115_200,
    3: 1_000_000,
    4: 2_000_000,
    5: 3_000_000,
    6: 4_000_000,
    7: 4_500_000,
}
BROADCAST_ID = 254
HIGHEST_ID = 252


class Instruction(IntEnum):
    """What a packet asks for; STATUS is an answer."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    ACTION = 0x05
    FACTORY_RESET = 0x06
    REBOOT = 0x08
    CLEAR = 0x10
    STATUS = 0x55
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A
    BULK_READ = 0x92
    BULK_WRITE = 0x93
    FAST_BULK_READ = 0x9A


class StatusError(IntEnum):
    """Low seven bits of a status packet's error."""

    NONE = 0
    RESULT_FAIL = 1
    INSTRUCTION = 2
    CRC = 3
    DATA_RANGE = 4
    DATA_LENGTH = 5
    DATA_LIMIT = 6
    ACCESS = 7


ALERT = 0x80
"""Set in a status packet's error while the hardware error register is not zero."""


class HardwareError(IntFlag):
    """Bits of the hardware error register (70)."""

    INPUT_VOLTAGE = 1 << 0
    MOTOR_HALL_SENSOR = 1 << 1
    OVERHEATING = 1 << 2
    MOTOR_ENCODER = 1 << 3
    ELECTRICAL_SHOCK = 1 << 4
    OVERLOAD = 1 << 5


def name_errors(bits: int) -> str:
    """Names of the bits that are set, such as `bit 5 overload`."""
    names = {error.value: str(error.name).lower().replace("_", " ") for error in HardwareError}
    found = [f"bit {i} {names.get(1 << i, 'unknown')}" for i in range(8) if bits >> i & 1]
    return ", ".join(found) or "none"


class Mode(IntEnum):
    """Operating modes (register 11)."""

    CURRENT = 0
    VELOCITY = 1
    POSITION = 3
    EXTENDED_POSITION = 4
    CURRENT_BASED_POSITION = 5
    PWM = 16


@dataclass(frozen=True)
class Register:
    """One register.

    Attributes:
        address: First byte.
        size: Bytes, little-endian.
        default: Value after a factory reset (EEPROM) or power-up (RAM).
        writable: Whether it may be written at all.
        low: Smallest value that may be written.
        high: Largest value that may be written.
        signed: Two's complement.
    """

    address: int
    size: int
    default: int = 0
    writable: bool = False
    low: int = 0
    high: int = 0
    signed: bool = False

    @property
    def eeprom(self) -> bool:
        """Kept without power; not writable while torque is on."""
        return self.address < 64


def _fixed(address: int, size: int, default: int = 0, *, signed: bool = False) -> Register:
    return Register(address, size, default, signed=signed)


def _free(address: int, size: int, default: int, low: int, high: int) -> Register:
    return Register(address, size, default, True, low, high, low < 0)


_TURNS = 1_048_575
REGISTERS: dict[str, Register] = {
    "model_number": _fixed(0, 2),
    "model_information": _fixed(2, 4),
    "firmware_version": _fixed(6, 1),
    "id": _free(7, 1, 1, 0, HIGHEST_ID),
    "baud_rate": _free(8, 1, 1, 0, 7),
    "return_delay_time": _free(9, 1, 250, 0, 254),
    "drive_mode": _free(10, 1, 0, 0, 13),
    "operating_mode": _free(11, 1, 3, 0, 16),
    "shadow_id": _free(12, 1, 255, 0, 255),
    "protocol_type": _free(13, 1, 2, 1, 2),
    "homing_offset": _free(20, 4, 0, -1_044_479, 1_044_479),
    "moving_threshold": _free(24, 4, 10, 0, 1023),
    "temperature_limit": _free(31, 1, 80, 0, 100),
    "max_voltage_limit": _free(32, 2, 160, 95, 160),
    "min_voltage_limit": _free(34, 2, 95, 95, 160),
    "pwm_limit": _free(36, 2, 885, 0, 885),
    "current_limit": _free(38, 2, 1193, 0, 1193),
    "velocity_limit": _free(44, 4, 330, 0, 1023),
    "max_position_limit": _free(48, 4, 4095, 0, 4095),
    "min_position_limit": _free(52, 4, 0, 0, 4095),
    "startup_configuration": _free(60, 1, 0, 0, 3),
    "shutdown": _free(63, 1, 52, 0, 63),
    "torque_enable": _free(64, 1, 0, 0, 1),
    "led": _free(65, 1, 0, 0, 1),
    "status_return_level": _free(68, 1, 2, 0, 2),
    "registered_instruction": _fixed(69, 1),
    "hardware_error_status": _fixed(70, 1),
    "velocity_i_gain": _free(76, 2, 1920, 0, 16383),
    "velocity_p_gain": _free(78, 2, 100, 0, 16383),
    "position_d_gain": _free(80, 2, 0, 0, 16383),
    "position_i_gain": _free(82, 2, 0, 0, 16383),
    "position_p_gain": _free(84, 2, 800, 0, 16383),
    "feedforward_2nd_gain": _free(88, 2, 0, 0, 16383),
    "feedforward_1st_gain": _free(90, 2, 0, 0, 16383),
    "bus_watchdog": _free(98, 1, 0, 0, 127),
    "goal_pwm": _free(100, 2, 885, -885, 885),
    "goal_current": _free(102, 2, 1193, -1193, 1193),
    "goal_velocity": _free(104, 4, 0, -1023, 1023),
    "profile_acceleration": _free(108, 4, 0, 0, 32767),
    "profile_velocity": _free(112, 4, 0, 0, 32767),
    "goal_position": _free(116, 4, 0, -_TURNS, _TURNS),
    "realtime_tick": _fixed(120, 2),
    "moving": _fixed(122, 1),
    "moving_status": _fixed(123, 1),
    "present_pwm": _fixed(124, 2, signed=True),
    "present_current": _fixed(126, 2, signed=True),
    "present_velocity": _fixed(128, 4, signed=True),
    "present_position": _fixed(132, 4, signed=True),
    "velocity_trajectory": _fixed(136, 4, signed=True),
    "position_trajectory": _fixed(140, 4, signed=True),
    "present_input_voltage": _fixed(144, 2, 120),
    "present_temperature": _fixed(146, 1, 25),
    "backup_ready": _fixed(147, 1),
}
GOALS = (
    "goal_pwm",
    "goal_current",
    "goal_velocity",
    "profile_acceleration",
    "profile_velocity",
    "goal_position",
)
"""Registers that turn read-only when the bus watchdog has tripped."""

INDIRECT_BLOCKS = ((168, 224, 28), (578, 634, 28))
"""First indirect address, first byte of indirect data, slots."""
TABLE_BYTES = 662


def read_number(register: Register, data: bytes | bytearray) -> int:
    """The value of a register from its bytes."""
    return int.from_bytes(data, "little", signed=register.signed)


def number_bytes(register: Register, value: int) -> bytes:
    """The bytes of a value."""
    return int(value & ((1 << 8 * register.size) - 1)).to_bytes(register.size, "little")


@dataclass(frozen=True)
class Model:
    """A motor model with the units of its data sheet.

    Attributes:
        name: ROBOTIS' name.
        number: Model number (register 0).
        current_unit_a: Unit of current registers [A].
        highest_current: Largest value of the current limit (its default).
        stall_torque_nm: Torque at stall [N m] at nominal voltage.
        stall_current_a: Current at stall [A].
    """

    name: str
    number: int
    current_unit_a: float
    highest_current: int
    stall_torque_nm: float
    stall_current_a: float

    @property
    def torque_per_ampere(self) -> float:
        """Torque constant [N m/A]."""
        return self.stall_torque_nm / self.stall_current_a


MODELS = {
    model.number: model
    for model in (
        Model("XM430-W210", 1030, 0.00269, 1193, 3.0, 2.3),
        Model("XH430-V210", 1050, 0.00134, 689, 2.6, 0.7),
    )
}


def model_named(name: str) -> Model:
    """The model of that name; every name in a robot description is known here."""
    return next(model for model in MODELS.values() if model.name == name)
