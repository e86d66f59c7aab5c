# SPDX-License-Identifier: Apache-2.0
"""Packets of Protocol 2.0, against the eleven examples of the vendor's manual."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_rl_core.dynamixel.packet import PacketReader, crc16, make_packet, stuff, unstuff

EXAMPLES = {
    "ping of id 1": ("FF FF FD 00 01 03 00 01", "19 4E"),
    "ping of all": ("FF FF FD 00 FE 03 00 01", "31 42"),
    "answer to a ping": ("FF FF FD 00 01 07 00 55 00 06 04 26", "65 5D"),
    "read of 132": ("FF FF FD 00 01 07 00 02 84 00 04 00", "1D 15"),
    "answer to a read": ("FF FF FD 00 01 08 00 55 00 A6 00 00 00", "8C C0"),
    "write of 116": ("FF FF FD 00 01 09 00 03 74 00 00 02 00 00", "CA 89"),
    "empty answer": ("FF FF FD 00 01 04 00 55 00", "A1 0C"),
    "sync read": ("FF FF FD 00 FE 09 00 82 84 00 04 00 01 02", "CE FA"),
    "sync write": ("FF FF FD 00 FE 11 00 83 74 00 04 00 01 96 00 00 00 02 AA 00 00 00", "82 87"),
    "reboot": ("FF FF FD 00 01 03 00 08", "2F 4E"),
    "bulk read": ("FF FF FD 00 FE 0D 00 92 01 90 00 02 00 02 92 00 01 00", "1A 05"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_manuals_checksums(name: str) -> None:
    packet, checksum = (bytes.fromhex(text) for text in EXAMPLES[name])
    assert crc16(packet).to_bytes(2, "little") == checksum
    assert make_packet(packet[4], packet[7:]) == packet + checksum


def test_an_extra_fd_follows_ff_ff_fd_and_is_counted() -> None:
    packet = make_packet(1, b"\x03\x74\x00\xff\xff\xfd\x00")
    assert packet[7:-2] == b"\x03\x74\x00\xff\xff\xfd\xfd\x00"
    assert packet[5] == 8 + 2
    (read,) = PacketReader().feed(packet)
    assert (read.instruction, read.parameters, read.crc_ok) == (3, b"\x74\x00\xff\xff\xfd\x00", True)


@given(st.lists(st.sampled_from([0x00, 0x01, 0xFD, 0xFF]), min_size=1, max_size=40).map(bytes))
def test_unstuffing_undoes_stuffing_and_no_header_hides_in_a_packet(body: bytes) -> None:
    assert unstuff(stuff(body)) == body
    assert b"\xff\xff\xfd\x00" not in stuff(body)


@given(
    st.lists(st.tuples(st.integers(0, 252), st.binary(min_size=1, max_size=20)), min_size=1, max_size=5),
    st.data(),
)
def test_a_stream_cut_anywhere_gives_the_same_packets(
    bodies: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(make_packet(bus_id, body) for bus_id, body in bodies)
    cut = data.draw(st.integers(0, len(stream)))
    reader = PacketReader()
    packets = [*reader.feed(stream[:cut]), *reader.feed(stream[cut:])]
    assert [(p.bus_id, bytes([p.instruction]) + p.parameters, p.crc_ok) for p in packets] == [
        (bus_id, body, True) for bus_id, body in bodies
    ]


def test_a_packet_after_rubbish_is_found() -> None:
    reader = PacketReader()
    rubbish = b"\x00\xff\xff\xfd\x00\x01\xff\xff" + b"\xff\xff\xfd"
    packets = reader.feed(rubbish + make_packet(7, b"\x01"))
    assert [(p.bus_id, p.instruction) for p in packets if p.crc_ok] == [(7, 1)]
