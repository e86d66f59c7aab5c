# SPDX-License-Identifier: Apache-2.0
"""What is read from every motor in every cycle: one block of indirect registers, and whether it can be true."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from meta_rl_core.dynamixel.control_table import INDIRECT_BLOCKS, REGISTERS

# What changes by itself comes first: if bytes of an answer are lost, registers whose value is known do not fit.
NAMES = (
    "present_current",
    "present_velocity",
    "present_position",
    "realtime_tick",
    "present_temperature",
    "hardware_error_status",
    "torque_enable",
    "bus_watchdog",
    "goal_position",
)
_LAYOUT = struct.Struct("<hiiHBBBBi")
LENGTH = sum(REGISTERS[name].size for name in NAMES)
_ADDRESS_SLOTS, DATA_ADDRESS, _ = INDIRECT_BLOCKS[0]
ADDRESS_SLOTS = _ADDRESS_SLOTS
TRIPPED = 255
_HOTTEST_C, _FASTEST, _STRONGEST = 110, 1023, 1300
_NOTHING = bytes(LENGTH)
FASTEST_TICKS_S = 12_000.0
"""No motor turns faster: 12,000 ticks a second are 18 rad/s, twice the no-load speed of an XM430."""
_SLACK_TICKS = 20.0


def indirect_addresses() -> bytes:
    """What the indirect address registers must hold for the block."""
    places = [REGISTERS[name].address + offset for name in NAMES for offset in range(REGISTERS[name].size)]
    return b"".join(place.to_bytes(2, "little") for place in places)


class MotorReading(NamedTuple):
    """A motor's block, in the motor's own units."""

    current: int
    velocity: int
    position: int
    tick: int
    temperature_c: int
    errors: int
    torque: int
    watchdog: int
    goal: int


class Judgement(Enum):
    """What a block is taken for."""

    SOUND = "sound"
    CORRUPT = "corrupt"
    FORGOTTEN = "forgotten"
    """The motor has lost its RAM: the block does not hold the registers any more."""


def decode(data: bytes) -> MotorReading:
    """The numbers of a block of `LENGTH` bytes."""
    return MotorReading(*_LAYOUT.unpack(data))


def encode(reading: MotorReading) -> bytes:
    """The bytes of a block."""
    return _LAYOUT.pack(*reading)


@dataclass
class Expectation:
    """What must be true of a motor's next block.

    Attributes:
        goals: Goals that it may hold: those sent last; empty if unknown.
        watchdogs: What its watchdog register may hold.
        position: Position at `position_s`, or None if it may be anywhere.
        position_s: When that was read [s].
    """

    goals: tuple[int, ...] = ()
    watchdogs: tuple[int, ...] = (0,)
    position: int | None = None
    position_s: float = 0.0

    def judge(self, data: bytes, now_s: float) -> tuple[Judgement, MotorReading | None]:
        """Whether a block whose checksum fits can be true, and the reading if it is.

        A checksum of 16 bits lets one of 65,536 damaged packets pass; what is known in advance catches those.
        """
        if data == _NOTHING:
            return Judgement.FORGOTTEN, None
        if len(data) != LENGTH:
            return Judgement.CORRUPT, None
        reading = decode(data)
        known = reading.torque in (0, 1) and reading.watchdog in (*self.watchdogs, TRIPPED)
        # A tripped watchdog and a shutdown put the goal where the motor stands.
        free = reading.watchdog == TRIPPED or not self.goals or not reading.torque
        possible = (
            reading.temperature_c <= _HOTTEST_C
            and abs(reading.velocity) <= _FASTEST
            and abs(reading.current) <= _STRONGEST
            and reading.errors < 1 << 6
        )
        if not known or not possible or not (free or reading.goal in self.goals):
            return Judgement.CORRUPT, None
        if self.position is not None:
            furthest = FASTEST_TICKS_S * max(now_s - self.position_s, 0.0) + _SLACK_TICKS
            if abs(reading.position - self.position) > furthest:
                return Judgement.CORRUPT, None
        return Judgement.SOUND, reading
