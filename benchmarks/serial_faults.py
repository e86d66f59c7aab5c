# SPDX-License-Identifier: Apache-2.0
"""Faults on an emulated Dynamixel bus in numbers: damaged answers, error bits, power cycles.

`python -m benchmarks.serial_faults [--frames 1000000] [--json FILE]`
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from meta_rl_core.dynamixel.block import DATA_ADDRESS, LENGTH, Expectation, MotorReading, encode
from meta_rl_core.dynamixel.bus import MotorBus
from meta_rl_core.dynamixel.packet import make_packet
from meta_rl_core.dynamixel.port import SteadyPort

BUS_ID, ARMED = 10, 5
KINDS = ("flip", "burst", "lose", "double", "cut", "rubbish", "overwrite")


class DamagedPort(SteadyPort):
    """Answers every read with one prepared packet."""

    def __init__(self) -> None:
        """Starts with no answer."""
        super().__init__("memory", 1_000_000)
        self.answer = b""
        self._place = 0

    def writePort(self, packet: Sequence[int]) -> int:
        """Begins the answer."""
        self._place = 0
        return len(packet)

    def readPort(self, length: int) -> bytes:
        """The next bytes of the answer."""
        data = self.answer[self._place : self._place + length]
        self._place += len(data)
        return data

    def clearPort(self) -> None:
        """Nothing waits."""

    def isPacketTimeout(self) -> bool:
        """When everything was read, the rest will never come."""
        return self._place >= len(self.answer)

    def sleep(self, duration_s: float) -> None:
        """Takes no time."""


def damage(packet: bytes, kind: str, random: np.random.Generator) -> bytes:
    """The packet as a bad line would deliver it."""
    data = bytearray(packet)
    place = int(random.integers(0, len(data)))
    if kind == "flip":
        for bit in random.choice(8 * len(data), size=int(random.integers(1, 4)), replace=False):
            data[bit // 8] ^= 1 << bit % 8
    elif kind == "burst":
        start = int(random.integers(0, 8 * len(data) - 16))
        for bit in (start, *(start + int(offset) for offset in random.integers(1, 16, size=8))):
            data[bit // 8] ^= 1 << bit % 8
    elif kind == "lose":
        del data[place : place + int(random.integers(1, 4))]
    elif kind == "double":
        data[place:place] = data[place : place + 1]
    elif kind == "cut":
        del data[place:]
    elif kind == "rubbish":
        data[:0] = random.bytes(int(random.integers(1, 12)))
    else:
        end = min(place + int(random.integers(3, 12)), len(data))
        data[place:end] = random.bytes(end - place)
    return bytes(data)


def count_wrong_values(frames: int, seed: int = 0) -> dict[str, int]:
    """Sends damaged answers through the vendor's client and the driver's checks.

    Args:
        frames: How many damaged answers.
        seed: Seed.

    Returns:
        How many were refused by the checksum, refused as impossible, taken although nothing of theirs was changed
        (rubbish before a whole packet), and taken with a wrong value.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    port = DamagedPort()
    bus = MotorBus(port)
    port.is_open = True
    found: Counter[str] = Counter(checksum=0, impossible=0, right=0, wrong=0)
    for number in range(frames):
        position, goal = (int(value) for value in random.integers(700, 3400, size=2))
        reading = MotorReading(
            current=int(random.integers(-400, 400)),
            velocity=int(random.integers(-100, 100)),
            position=position,
            tick=int(random.integers(0, 32_768)),
            temperature_c=int(random.integers(25, 70)),
            errors=0,
            torque=1,
            watchdog=ARMED,
            goal=goal,
        )
        block = encode(reading)
        packet = make_packet(BUS_ID, b"\x55\x00" + block)
        port.answer = damage(packet, KINDS[number % len(KINDS)], random)
        expected = Expectation(goals=(goal,), watchdogs=(0, ARMED), position=position - 10, position_s=0.0)
        data = bus.read_many([BUS_ID], DATA_ADDRESS, LENGTH).get(BUS_ID)
        if data is None:
            found["checksum"] += 1
            continue
        _, taken = expected.judge(data, 0.01)
        if taken is None:
            found["impossible"] += 1
        else:
            found["right" if taken == reading else "wrong"] += 1
    return dict(found)


def upper_bound(failures: int, cases: int) -> float:
    """95 % bound of the rate when `failures` of `cases` went wrong (rule of three at none)."""
    return 3.0 / cases if failures == 0 else failures / cases + 1.645 * math.sqrt(failures) / cases


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    found = count_wrong_values(options.frames, options.seed)
    report = {
        "frames": options.frames,
        **found,
        "wrong, 95 % bound": upper_bound(found["wrong"], options.frames),
    }
    print(json.dumps(report, indent=1))
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0 if found["wrong"] == 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
