# SPDX-License-Identifier: Apache-2.0
"""Motors on a serial line, by register name: single reads and writes, one read and one write for many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dynamixel_sdk import COMM_RX_TIMEOUT, COMM_SUCCESS

from meta_rl_core.dynamixel.control_table import (
    ALERT,
    REGISTERS,
    Instruction,
    StatusError,
    number_bytes,
    read_number,
)
from meta_rl_core.dynamixel.port import (
    PATIENCE_S,
    PING_PATIENCE_S,
    BusError,
    Packets,
    SteadyPort,
)

TRIES = 3
MANY_PATIENCE_S = 0.012
STATUS_BYTES, REQUEST_BYTES = 11, 14
BITS_PER_BYTE = 10


class SilentMotorError(BusError):
    """A motor does not answer, or not in a way that can be read."""


class RefusedWriteError(BusError):
    """A motor answers that it did not take a value."""


@dataclass(frozen=True)
class Pong:
    """A motor's answer to a ping."""

    bus_id: int
    model_number: int
    firmware: int


@dataclass
class Traffic:
    """What went over the bus so far."""

    requests: int = 0
    answers: int = 0
    lost: int = 0
    corrupt: int = 0


class MotorBus:
    """One bus.

    Attributes:
        traffic: Counts of requests, answers and errors.
    """

    def __init__(self, port: SteadyPort) -> None:
        """Uses a port, which may be open or not yet."""
        self._port = port
        self._packets = Packets()
        self._late_until_s: dict[int, float] = {}
        self.traffic = Traffic()

    @property
    def port_name(self) -> str:
        """The serial port's path."""
        return str(self._port.port_name)

    @property
    def baud_rate(self) -> int:
        """Bits per second."""
        return int(self._port.baudrate)

    def open(self) -> None:
        """Opens the port; see `SteadyPort.open`."""
        self._port.open()

    def close(self) -> None:
        """Closes the port."""
        self._port.close()

    def ping(self, bus_id: int, tries: int = TRIES) -> Pong | None:
        """The motor at an address, or None if nobody answers.

        Raises:
            SilentMotorError: If answers come that cannot be read, as from two motors of one address.
        """
        result = COMM_RX_TIMEOUT
        self._port.patience_s = PING_PATIENCE_S
        for _ in range(tries):
            packet, result = self._ask(bus_id, Instruction.PING, b"", 3)
            if packet is not None:
                return Pong(bus_id, packet[9] | packet[10] << 8, packet[11])
        if result == COMM_RX_TIMEOUT:
            return None
        raise SilentMotorError(
            f"what answers at id {bus_id} cannot be read: do two motors have this id, or is the wiring bad?"
        )

    def read(self, bus_id: int, name: str) -> int:
        """Value of a register.

        Raises:
            SilentMotorError: If the motor does not answer.
        """
        register = REGISTERS[name]
        data = self.read_bytes(bus_id, register.address, register.size)
        return read_number(register, data)

    def read_bytes(self, bus_id: int, address: int, length: int) -> bytes:
        """Bytes from a motor's table.

        Raises:
            SilentMotorError: If the motor does not answer.
        """
        self._port.patience_s = PATIENCE_S
        place = address.to_bytes(2, "little") + length.to_bytes(2, "little")
        for _ in range(TRIES):
            self._wait_for_late_answers(bus_id)
            packet, _ = self._ask(bus_id, Instruction.READ, place, length)
            if packet is not None and not packet[8] & ~ALERT:
                return bytes(packet[9:-2])
            self._late_until_s[bus_id] = self._port.clock() + PATIENCE_S
        raise SilentMotorError(f"motor {bus_id} on {self.port_name} does not answer a read of {address}")

    def write(self, bus_id: int, name: str, value: int) -> None:
        """Sets a register, acknowledged.

        Raises:
            SilentMotorError: If the motor does not answer.
            RefusedWriteError: If it refuses; says why.
        """
        register = REGISTERS[name]
        self.write_bytes(bus_id, register.address, number_bytes(register, value), f"{name} = {value}")

    def write_bytes(self, bus_id: int, address: int, data: bytes, what: str) -> None:
        """Writes into a motor's table, acknowledged; `what` names it in messages. Raises as `write`."""
        self._port.patience_s = PATIENCE_S
        for _ in range(TRIES):
            self._wait_for_late_answers(bus_id)
            packet, _ = self._ask(bus_id, Instruction.WRITE, address.to_bytes(2, "little") + data, 0)
            if packet is not None:
                if packet[8] & ~ALERT:
                    reason = StatusError(packet[8] & ~ALERT).name.lower().replace("_", " ")
                    raise RefusedWriteError(f"motor {bus_id} refuses {what}: {reason} error")
                return
            self._late_until_s[bus_id] = self._port.clock() + PATIENCE_S
        raise SilentMotorError(f"motor {bus_id} on {self.port_name} does not answer a write of {what}")

    def reboot(self, bus_id: int) -> None:
        """Restarts a motor; it answers again a moment later. Raises as `write`."""
        self._port.patience_s = PATIENCE_S
        self._wait_for_late_answers(bus_id)
        packet, _ = self._ask(bus_id, Instruction.REBOOT, b"", 0)
        if packet is None:
            self._late_until_s[bus_id] = self._port.clock() + PATIENCE_S
            raise SilentMotorError(f"motor {bus_id} on {self.port_name} does not answer a reboot")

    def read_many(
        self, bus_ids: Sequence[int], address: int, length: int, patience_s: float = MANY_PATIENCE_S
    ) -> dict[int, bytes]:
        """One sync read.

        Args:
            bus_ids: Who is asked, in this order.
            address: First byte.
            length: Bytes of each.
            patience_s: How much longer to wait than the answers take on the wire [s].

        Returns:
            The bytes of each motor whose answer came whole; others are missing.

        Raises:
            DisconnectedError: If the port is gone.
        """
        self.traffic.requests += 1
        begin_s = self._port.clock()
        self._port.patience_s = patience_s
        self._free()
        sent = self._packets.syncReadTx(self._port, address, length, list(bus_ids), len(bus_ids), False)
        found: dict[int, bytes] = {}
        clean = sent == COMM_SUCCESS
        if clean:
            for bus_id in bus_ids:
                packet, result = self._packets.rxPacket(self._port, False)
                self._count(result)
                if result == COMM_RX_TIMEOUT:
                    clean = False
                    break
                whole = result == COMM_SUCCESS and len(packet) == STATUS_BYTES + length
                if whole and packet[4] in bus_ids and not packet[8] & ~ALERT:
                    found[packet[4]] = bytes(packet[9:-2])
                clean = clean and result == COMM_SUCCESS and packet[4] == bus_id
        if not clean:
            self._wait_for_quiet(begin_s, len(bus_ids), length)
        return found

    def write_many(self, name: str, values: Mapping[int, int]) -> None:
        """One sync write of one register; nobody acknowledges it.

        Raises:
            DisconnectedError: If the port is gone.
        """
        register = REGISTERS[name]
        parameters: list[int] = []
        for bus_id, value in values.items():
            parameters += [bus_id, *number_bytes(register, value)]
        self.traffic.requests += 1
        self._free()
        self._packets.syncWriteTxOnly(
            self._port, register.address, register.size, parameters, len(parameters)
        )

    def _ask(
        self, bus_id: int, instruction: Instruction, parameters: bytes, answered: int
    ) -> tuple[list[int] | None, int]:
        """One request to one motor.

        Args:
            bus_id: Its address.
            instruction: What to do.
            parameters: Of the request.
            answered: How many parameters its answer has.

        Returns:
            The answer, or None; and how it ended. Answers of another length or motor belong to earlier requests and
            are passed over: the client does not look at them, and would give a checksum for a value.
        """
        self.traffic.requests += 1
        # In the layout that the vendor's client fills in: header and checksum are its own.
        packet = [0, 0, 0, 0, bus_id, len(parameters) + 3, 0, int(instruction), *parameters, 0, 0]
        self._free()
        result = self._packets.txPacket(self._port, packet)
        if result == COMM_SUCCESS:
            self._port.setPacketTimeout(STATUS_BYTES + answered)
        while result == COMM_SUCCESS:
            packet, result = self._packets.rxPacket(self._port, False)
            self._count(result)
            if result == COMM_SUCCESS and packet[4] == bus_id and len(packet) == STATUS_BYTES + answered:
                return packet, result
        return None, result

    def _free(self) -> None:
        """The port has one user. What an interrupt (Ctrl-C) left half done must not keep torque from being taken."""
        self._port.is_using = False

    def _wait_for_late_answers(self, bus_id: int) -> None:
        """After a request that was not answered in time: its answer must not be taken for that of the next one.

        What comes meanwhile is forgotten when the next request goes out. Answers to a ping look like no other.
        """
        late_until_s = self._late_until_s.pop(bus_id, None)
        if late_until_s is not None:
            self._port.sleep(late_until_s - self._port.clock())

    def _wait_for_quiet(self, begin_s: float, motors: int, length: int) -> None:
        """After a broken answer others may still be speaking; a new request would collide with them."""
        wire_s = (REQUEST_BYTES + motors * (STATUS_BYTES + length + 1)) * BITS_PER_BYTE / self.baud_rate
        self._port.sleep(begin_s + wire_s - self._port.clock())

    def _count(self, result: int) -> None:
        if result == COMM_SUCCESS:
            self.traffic.answers += 1
        elif result == COMM_RX_TIMEOUT:
            self.traffic.lost += 1
        else:
            self.traffic.corrupt += 1
