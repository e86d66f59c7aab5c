# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on an emulated bus, when, and how often: a script with a seed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.fields import Fields
from sim_bridge.dynamixel.chain import Chain, Reply

ON_REPLIES = ("drop", "corrupt", "truncate", "garbage", "delay")
"""Faults of single replies, each with a probability."""
ON_MOTORS = ("silent", "errors", "heat", "power", "eio")
"""Faults that last from one time to another; `errors` is raised once."""
KINDS = (*ON_REPLIES, *ON_MOTORS)
_MOST_FLIPS, _MOST_GARBAGE = 3, 20


@dataclass(frozen=True)
class Fault:
    """One line of the script.

    Attributes:
        kind: One of `KINDS`.
        from_s: Emulated time at which it begins [s].
        to_s: Emulated time at which it ends [s].
        bus_id: Which motor, or None for all.
        probability: How often a reply is hit.
        value: `delay`: seconds; `errors`: bits; `heat`: degrees C.
    """

    kind: str
    from_s: float = 0.0
    to_s: float = math.inf
    bus_id: int | None = None
    probability: float = 1.0
    value: float = 0.0

    @classmethod
    def from_fields(cls, fields: Fields) -> Fault:
        """Reads one line.

        Raises:
            InvalidValueError: If a key is unknown or out of range.
        """
        given = fields.values
        fault = cls(
            kind=fields.text("kind", KINDS),
            from_s=fields.number("from_s", 0.0) if "from_s" in given else 0.0,
            to_s=fields.number("to_s", 0.0) if "to_s" in given else math.inf,
            bus_id=fields.integer("id", 0, 252) if "id" in given else None,
            probability=fields.number("probability", 0.0, 1.0) if "probability" in given else 1.0,
            value=fields.number("value") if "value" in given else 0.0,
        )
        fields.finish()
        if fault.from_s >= fault.to_s:
            raise InvalidValueError(f"{fields.where}: from_s must lie before to_s")
        return fault

    def hits(self, now_s: float, bus_id: int) -> bool:
        """Whether it concerns this motor now."""
        return self.from_s <= now_s < self.to_s and (self.bus_id is None or self.bus_id == bus_id)


class FaultScript:
    """Applies faults to a chain and to what it says; the same seed gives the same faults."""

    def __init__(self, faults: Iterable[Fault] = (), seed: int = 0) -> None:
        """Starts with these faults."""
        self._faults = list(faults)
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._raised: set[int] = set()

    def add(self, fault: Fault) -> None:
        """One more."""
        self._faults.append(fault)

    def clear(self) -> None:
        """No more faults; error bits that were raised stay."""
        self._faults.clear()
        self._raised.clear()

    def disconnected(self, now_s: float) -> bool:
        """Whether the cable is out."""
        return any(fault.kind == "eio" and fault.hits(now_s, -1) for fault in self._faults)

    def apply(self, chain: Chain, now_s: float) -> None:
        """Puts the chain into the state that the script asks for now."""
        if not self._faults:
            return
        chain.power(not any(fault.kind == "power" and fault.hits(now_s, -1) for fault in self._faults))
        for motor in chain.motors:
            bus_id = motor.bus_id
            mine = [fault for fault in self._faults if fault.hits(now_s, bus_id)]
            motor.silent = any(fault.kind == "silent" for fault in mine)
            heats = [fault.value for fault in mine if fault.kind == "heat"]
            motor.heat(max(heats) if heats else None)
            for fault in mine:
                if fault.kind == "errors" and id(fault) not in self._raised:
                    self._raised.add(id(fault))
                    motor.raise_errors(int(fault.value))

    def distort(self, reply: Reply, now_s: float) -> Reply | None:
        """What arrives of a reply; None if nothing does."""
        data, delay_s = reply.data, reply.delay_s
        for fault in self._faults:
            if fault.kind not in ON_REPLIES or not fault.hits(now_s, reply.bus_id):
                continue
            if self._random.random() >= fault.probability:
                continue
            if fault.kind == "drop":
                return None
            delay_s += fault.value if fault.kind == "delay" else 0.0
            data = self._damaged(fault.kind, data)
        return Reply(reply.bus_id, delay_s, data)

    def _damaged(self, kind: str, data: bytes) -> bytes:
        random = self._random
        if kind == "truncate":
            return data[: int(random.integers(0, len(data)))]
        if kind == "garbage":
            return random.bytes(int(random.integers(1, _MOST_GARBAGE + 1))) + data
        if kind == "corrupt":
            return flip_bits(data, int(random.integers(1, _MOST_FLIPS + 1)), random)
        return data


def flip_bits(data: bytes, count: int, random: np.random.Generator) -> bytes:
    """The same bytes with `count` different bits flipped."""
    damaged = bytearray(data)
    for place in random.choice(8 * len(data), size=count, replace=False):
        damaged[place // 8] ^= 1 << (place % 8)
    return bytes(damaged)
