# SPDX-License-Identifier: Apache-2.0
"""Packets of Dynamixel Protocol 2.0: checksum, byte stuffing, and finding packets in a stream.

FF FF FD 00, id, length (2 bytes), instruction, parameters, CRC (2 bytes); numbers are little-endian and the length
counts everything after itself. After FF FF FD within instruction and parameters one more FD is put in.
"""

from __future__ import annotations

from dataclasses import dataclass

HEADER = b"\xff\xff\xfd\x00"
_STUFFED = b"\xff\xff\xfd"
_POLYNOMIAL = 0x8005
_SHORTEST, _LONGEST = 10, 1024
_LENGTH_END = 7


def _make_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << 8
        for _ in range(8):
            value = (value << 1) ^ (_POLYNOMIAL if value & 0x8000 else 0)
        table.append(value & 0xFFFF)
    return tuple(table)


_TABLE = _make_table()


def crc16(data: bytes | bytearray) -> int:
    """CRC-16 of a packet up to its CRC, after stuffing: polynomial 0x8005, start 0, most significant bit first."""
    value = 0
    for byte in data:
        value = ((value << 8) & 0xFFFF) ^ _TABLE[(value >> 8) ^ byte]
    return value


def stuff(body: bytes) -> bytes:
    """Puts FD after every FF FF FD of instruction and parameters."""
    return body.replace(_STUFFED, _STUFFED + b"\xfd")


def unstuff(body: bytes) -> bytes:
    """Takes the FD after every FF FF FD away."""
    return body.replace(_STUFFED + b"\xfd", _STUFFED)


def make_packet(bus_id: int, body: bytes) -> bytes:
    """A packet; `body` is the instruction with its parameters, or 55, error and parameters of a status."""
    stuffed = stuff(body)
    packet = HEADER + bytes([bus_id]) + (len(stuffed) + 2).to_bytes(2, "little") + stuffed
    return packet + crc16(packet).to_bytes(2, "little")


@dataclass(frozen=True)
class Packet:
    """A packet from the wire, unstuffed.

    Attributes:
        bus_id: Address, 254 for everybody.
        instruction: First byte of its body.
        parameters: The rest.
        crc_ok: Whether the checksum fits.
    """

    bus_id: int
    instruction: int
    parameters: bytes
    crc_ok: bool


class PacketReader:
    """Finds packets in a stream of bytes."""

    def __init__(self) -> None:
        """Starts with nothing."""
        self._bytes = bytearray()

    def clear(self) -> None:
        """Forgets a packet that has begun."""
        self._bytes.clear()

    def feed(self, data: bytes) -> list[Packet]:
        """Takes bytes; gives the packets that they complete, in order."""
        self._bytes += data
        packets = []
        while (packet := self._next()) is not None:
            packets.append(packet)
        return packets

    def _next(self) -> Packet | None:
        waiting = self._bytes
        while True:
            start = waiting.find(HEADER)
            if start < 0:
                # The end may be the beginning of a header.
                del waiting[: max(len(waiting) - len(HEADER) + 1, 0)]
                return None
            del waiting[:start]
            if len(waiting) < _LENGTH_END:
                return None
            length = _LENGTH_END + int.from_bytes(waiting[5:7], "little")
            if not _SHORTEST <= length <= _LONGEST:
                del waiting[: len(HEADER)]
                continue
            if len(waiting) < length:
                return None
            packet = bytes(waiting[:length])
            del waiting[:length]
            body = unstuff(packet[_LENGTH_END:-2])
            crc_ok = crc16(packet[:-2]) == int.from_bytes(packet[-2:], "little")
            return Packet(packet[4], body[0], body[1:], crc_ok)
