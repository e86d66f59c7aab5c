# SPDX-License-Identifier: Apache-2.0
"""The motors on one bus: what they answer to instruction packets, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import NamedTuple

from meta_rl_core.dynamixel.control_table import (
    BAUD_CODES,
    BROADCAST_ID,
    RETURN_DELAY_UNIT_US,
    Instruction,
    StatusError,
)
from meta_rl_core.dynamixel.freshness import TICK_S, TICK_WRAP
from meta_rl_core.dynamixel.packet import HEADER, Packet, crc16, make_packet
from sim_bridge.dynamixel.motor import Motor

BITS_PER_BYTE = 10
_CLEAR_KEY = b"\x01\x44\x58\x4c\x22"


class Reply(NamedTuple):
    """Bytes that one motor puts on the wire."""

    bus_id: int
    delay_s: float
    """Pause before it [s], after the bytes before it."""
    data: bytes


class Chain:
    """All motors of a bus.

    Attributes:
        motors: The motors, in any order; two may share an address.
        powered: Whether they have power.
    """

    def __init__(self, motors: Iterable[Motor]) -> None:
        """Connects motors."""
        self.motors = list(motors)
        self.powered = True
        self._single: dict[int, Callable[[Motor, bytes], bytes | StatusError | None]] = {
            Instruction.PING: _ping,
            Instruction.READ: _read,
            Instruction.WRITE: _write,
            Instruction.REG_WRITE: _reg_write,
            Instruction.ACTION: _action,
            Instruction.FACTORY_RESET: _factory_reset,
            Instruction.REBOOT: _reboot,
            Instruction.CLEAR: _clear,
        }

    def motor(self, bus_id: int) -> Motor:
        """The first motor with this address."""
        return next(motor for motor in self.motors if motor.bus_id == bus_id)

    def tell_time(self, clock_s: float) -> None:
        """Sets the clocks of all motors [s]; they count milliseconds."""
        for motor in self.motors:
            motor.table["realtime_tick"] = round(clock_s / TICK_S) % TICK_WRAP

    def power(self, on: bool) -> None:
        """Switches power; what comes back has lost its RAM."""
        if on and not self.powered:
            for motor in self.motors:
                motor.reboot()
        self.powered = on

    def answer(self, packet: Packet, baud_rate: int) -> list[Reply]:
        """What the motors that listen at this baud rate answer."""
        if not self.powered:
            return []
        hearing = [m for m in self.motors if not m.silent and BAUD_CODES[m.table["baud_rate"]] == baud_rate]
        parameters = packet.parameters
        for motor in hearing:
            motor.fed()
        if packet.instruction in (Instruction.SYNC_READ, Instruction.BULK_READ):
            return self._many(hearing, packet, _requests(packet.instruction, parameters))
        if packet.instruction in (Instruction.FAST_SYNC_READ, Instruction.FAST_BULK_READ):
            return self._fast(hearing, packet, _requests(packet.instruction, parameters))
        if packet.instruction in (Instruction.SYNC_WRITE, Instruction.BULK_WRITE):
            if packet.crc_ok:
                _write_many(hearing, packet.instruction, parameters)
            return []
        return self._one(hearing, packet)

    def _one(self, hearing: list[Motor], packet: Packet) -> list[Reply]:
        replies = []
        broadcast = packet.bus_id == BROADCAST_ID
        for motor in sorted(hearing, key=lambda motor: motor.bus_id):
            if not broadcast and motor.bus_id != packet.bus_id:
                continue
            bus_id, level = motor.bus_id, motor.table["status_return_level"]
            handle = self._single.get(packet.instruction)
            if not packet.crc_ok:
                outcome: bytes | StatusError | None = StatusError.CRC
            elif handle is None:
                outcome = StatusError.INSTRUCTION
            else:
                outcome = handle(motor, packet.parameters)
            answers = packet.instruction == Instruction.PING or (
                not broadcast and level >= (1 if packet.instruction == Instruction.READ else 2)
            )
            if answers and outcome is not None and not (broadcast and not packet.crc_ok):
                replies.append(_status(motor, bus_id, outcome))
        return _collided(replies)

    def _many(self, hearing: list[Motor], packet: Packet, wanted: list[tuple[int, int, int]]) -> list[Reply]:
        """Each answers after the one before; whoever waits for a silent one stays silent too."""
        replies: list[Reply] = []
        if not packet.crc_ok:
            return replies
        by_id = _by_id(hearing)
        for bus_id, address, length in wanted:
            named = by_id.get(bus_id, [])
            if not named or named[0].table["status_return_level"] == 0:
                break
            for motor in named:
                data = motor.table.read(address, length)
                replies.append(_status(motor, bus_id, StatusError.DATA_RANGE if data is None else data))
        return _collided(replies)

    def _fast(self, hearing: list[Motor], packet: Packet, wanted: list[tuple[int, int, int]]) -> list[Reply]:
        """One packet in which each motor writes its part, with the checksum so far; nothing is stuffed."""
        if not packet.crc_ok:
            return []
        length = sum(size + 4 for _, _, size in wanted) + 1
        start = HEADER + bytes([BROADCAST_ID]) + length.to_bytes(2, "little") + bytes([Instruction.STATUS])
        replies: list[Reply] = []
        sent = b""
        for bus_id, address, size in wanted:
            motor = next((motor for motor in hearing if motor.bus_id == bus_id), None)
            data = None if motor is None else motor.table.read(address, size)
            if motor is None or data is None:
                break
            part = (b"" if sent else start) + bytes([motor.alert, bus_id]) + data
            part += crc16(sent + part).to_bytes(2, "little")
            sent += part
            replies.append(Reply(bus_id, _delay_s(motor), part))
        return replies


def _by_id(motors: Iterable[Motor]) -> dict[int, list[Motor]]:
    found: dict[int, list[Motor]] = {}
    for motor in motors:
        found.setdefault(motor.bus_id, []).append(motor)
    return found


def _status(motor: Motor, bus_id: int, outcome: bytes | StatusError) -> Reply:
    error, data = (0, outcome) if isinstance(outcome, bytes) else (int(outcome), b"")
    body = bytes([Instruction.STATUS, error | motor.alert]) + data
    return Reply(bus_id, _delay_s(motor), make_packet(bus_id, body))


def _collided(replies: list[Reply]) -> list[Reply]:
    """Two motors of one address speak at once, a little apart: what arrives is neither's packet."""
    heard: list[Reply] = []
    for reply in replies:
        if heard and heard[-1].bus_id == reply.bus_id:
            first, second = heard[-1].data, b"\xff" + reply.data
            mixed = bytes(a & b for a, b in zip_longest(first, second, fillvalue=0xFF))
            heard[-1] = Reply(reply.bus_id, reply.delay_s, mixed)
        else:
            heard.append(reply)
    return heard


def _delay_s(motor: Motor) -> float:
    return motor.table["return_delay_time"] * RETURN_DELAY_UNIT_US * 1e-6


def _ping(motor: Motor, _: bytes) -> bytes:
    return motor.table["model_number"].to_bytes(2, "little") + bytes([motor.table["firmware_version"]])


def _read(motor: Motor, given: bytes) -> bytes | StatusError:
    if len(given) != 4:
        return StatusError.DATA_LENGTH
    data = motor.table.read(int.from_bytes(given[:2], "little"), int.from_bytes(given[2:], "little"))
    return StatusError.DATA_RANGE if data is None else data


def _write(motor: Motor, given: bytes) -> StatusError:
    if len(given) < 3:
        return StatusError.DATA_LENGTH
    return motor.write(int.from_bytes(given[:2], "little"), given[2:])


def _reg_write(motor: Motor, given: bytes) -> StatusError:
    if len(given) < 3:
        return StatusError.DATA_LENGTH
    motor.pending = (int.from_bytes(given[:2], "little"), given[2:])
    motor.table["registered_instruction"] = 1
    return StatusError.NONE


def _action(motor: Motor, _: bytes) -> StatusError:
    if motor.pending is None:
        return StatusError.RESULT_FAIL
    (address, data), motor.pending = motor.pending, None
    motor.table["registered_instruction"] = 0
    return motor.write(address, data)


def _factory_reset(motor: Motor, given: bytes) -> StatusError:
    kept = {b"\xff": (), b"\x01": ("id",), b"\x02": ("id", "baud_rate")}.get(given)
    if kept is None:
        return StatusError.DATA_RANGE
    motor.table.factory_reset(kept)
    return StatusError.NONE


def _reboot(motor: Motor, _: bytes) -> StatusError:
    motor.reboot()
    return StatusError.NONE


def _clear(motor: Motor, given: bytes) -> StatusError:
    if given != _CLEAR_KEY:
        return StatusError.DATA_RANGE
    if motor.table["moving"]:
        return StatusError.RESULT_FAIL
    motor.clear_turns()
    return StatusError.NONE


def _requests(instruction: int, given: bytes) -> list[tuple[int, int, int]]:
    """Address of the motor, first byte and length that a read of many asks for, in order."""
    if instruction in (Instruction.SYNC_READ, Instruction.FAST_SYNC_READ):
        address, length = int.from_bytes(given[:2], "little"), int.from_bytes(given[2:4], "little")
        return [(bus_id, address, length) for bus_id in given[4:]]
    rows = [given[i : i + 5] for i in range(0, len(given) - 4, 5)]
    return [(row[0], int.from_bytes(row[1:3], "little"), int.from_bytes(row[3:5], "little")) for row in rows]


def _write_many(hearing: list[Motor], instruction: int, given: bytes) -> None:
    place = 4 if instruction == Instruction.SYNC_WRITE else 0
    address, length = int.from_bytes(given[:2], "little"), int.from_bytes(given[2:4], "little")
    by_id = _by_id(hearing)
    while place < len(given):
        bus_id, place = given[place], place + 1
        if instruction == Instruction.BULK_WRITE:
            address = int.from_bytes(given[place : place + 2], "little")
            length = int.from_bytes(given[place + 2 : place + 4], "little")
            place += 4
        data, place = given[place : place + length], place + length
        for motor in by_id.get(bus_id, []) if len(data) == length else []:
            motor.write(address, data)
