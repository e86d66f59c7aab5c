# SPDX-License-Identifier: Apache-2.0
"""What the driver concludes from the latest readings: all well, stop, fault or lost. Pure, with time as an argument."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum

from meta_rl_core.dynamixel.block import TRIPPED, MotorReading
from meta_rl_core.dynamixel.control_table import name_errors


class Severity(IntEnum):
    """The most severe wins."""

    WELL = 0
    STOP = 1
    """Hold; commands may go on afterwards."""
    FAULT = 2
    """Hold until a person has looked."""
    LOST = 3
    """Motors must be found and prepared anew before anything else."""


@dataclass(frozen=True)
class Verdict:
    """A conclusion and its reason in one sentence."""

    severity: Severity
    reason: str = ""


WELL = Verdict(Severity.WELL)


@dataclass(frozen=True)
class Evidence:
    """What is known of the motors.

    Attributes:
        bus_ids: Address by joint, of all motors.
        readings: Latest sound reading by joint.
        silent_s: For how long each was not understood [s].
        powered: Joints that should have torque.
        forgotten: Joints whose motors have lost their RAM.
    """

    bus_ids: Mapping[str, int]
    readings: Mapping[str, MotorReading]
    silent_s: Mapping[str, float]
    powered: Collection[str]
    forgotten: Collection[str]


def conclude(seen: Evidence, longest_silence_s: float) -> Verdict:
    """The most severe thing that the evidence shows.

    Args:
        seen: What is known.
        longest_silence_s: How long a motor may be silent [s].
    """
    silent = [joint for joint, age_s in seen.silent_s.items() if age_s > longest_silence_s]
    if seen.forgotten:
        return Verdict(Severity.LOST, f"power was lost by {_named(seen, sorted(seen.forgotten))}")
    if len(silent) == len(seen.bus_ids):
        return Verdict(Severity.LOST, f"no motor answered for {longest_silence_s:g} s")
    errors = {joint: reading.errors for joint, reading in seen.readings.items() if reading.errors}
    if errors:
        named = [f"{_named(seen, [joint])}: {name_errors(bits)}" for joint, bits in errors.items()]
        return Verdict(Severity.FAULT, f"hardware error of {'; '.join(named)}")
    if silent:
        return Verdict(Severity.FAULT, f"no answer from {_named(seen, silent)}")
    powered = {joint: seen.readings[joint] for joint in sorted(seen.powered) if joint in seen.readings}
    limp = [joint for joint, reading in powered.items() if not reading.torque]
    if limp:
        return Verdict(Severity.LOST, f"torque is gone from {_named(seen, limp)}")
    tripped = [joint for joint, reading in powered.items() if reading.watchdog == TRIPPED]
    if tripped:
        return Verdict(Severity.LOST, f"the bus watchdog has stopped {_named(seen, tripped)}")
    return WELL


def _named(seen: Evidence, joints: list[str]) -> str:
    return ", ".join(f"motor {seen.bus_ids[joint]} ({joint})" for joint in joints)
