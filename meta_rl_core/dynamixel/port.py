# SPDX-License-Identifier: Apache-2.0
"""The serial port below the vendor's client: opened for one user, waiting on a steady clock, with clear errors."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import termios
import time
from collections.abc import Sequence
from typing import Any

import serial
from dynamixel_sdk import PortHandler, Protocol2PacketHandler

from meta_rl_core.dynamixel.packet import unstuff
from meta_rl_core.errors import PitayaError

PATIENCE_S, PING_PATIENCE_S = 0.2, 0.05
"""Added to the time that an answer takes on the wire: the operating system may let this process wait [s]."""
_INSTRUCTION, _CRC_BYTES = 7, 2


class BusError(PitayaError):
    """The serial port or the motors on it do not do what they should."""


class DisconnectedError(BusError):
    """The serial port is gone."""


class SteadyPort(PortHandler):
    """The vendor's port handler, but for three things.

    It measures time on a steady clock, so that setting the clock neither hangs nor cuts a read. It sleeps while it
    waits. It opens the port exclusively.

    Attributes:
        patience_s: How much longer than an answer takes on the wire to wait for it [s].
    """

    def __init__(self, path: str, baud_rate: int, latency_s: float = 0.001) -> None:
        """Prepares, opening nothing.

        Args:
            path: Device, such as /dev/ttyUSB0.
            baud_rate: Bits per second.
            latency_s: The adapter's latency timer [s].
        """
        super().__init__(path)
        self.is_open = False
        self.baudrate = baud_rate
        self._latency_s = latency_s
        self._deadline_s = 0.0
        self.patience_s = PATIENCE_S

    def open(self) -> None:
        """Opens the port.

        Raises:
            BusError: If it is missing, busy, not permitted, or no serial port; says what to do.
        """
        try:
            opened = self.openPort()
        except (serial.SerialException, OSError, ValueError, termios.error) as error:
            raise BusError(_explain(self.port_name, error)) from error
        if not opened:
            raise BusError(f"this machine's serial ports do not know {self.baudrate} baud")

    def close(self) -> None:
        """Closes the port, if it is open."""
        if self.is_open:
            with contextlib.suppress(Exception):
                self.closePort()
            self.is_open = False

    def clock(self) -> float:
        """Steady time [s]."""
        return time.monotonic()

    def sleep(self, duration_s: float) -> None:
        """Lets time pass."""
        time.sleep(max(duration_s, 0.0))

    def setupPort(self, cflag_baud: int) -> bool:
        """Opens the port for this process alone."""
        if self.is_open:
            self.closePort()
        self.ser = serial.Serial(self.port_name, self.baudrate, timeout=0, exclusive=True)
        self.is_open = True
        self.is_using = False
        self.tx_time_per_byte = 10_000.0 / self.baudrate
        self.ser.reset_input_buffer()
        return True

    def setPacketTimeout(self, packet_length: int) -> None:
        """Waits for that many bytes on the wire and the adapter's latency."""
        wire_s = 10.0 * packet_length / self.baudrate
        self._deadline_s = time.monotonic() + wire_s + 2.0 * self._latency_s + self.patience_s

    def setPacketTimeoutMillis(self, msec: float) -> None:
        """Waits for `msec` milliseconds."""
        self._deadline_s = time.monotonic() + msec / 1000.0

    def isPacketTimeout(self) -> bool:
        """Whether the wait is over."""
        return time.monotonic() > self._deadline_s

    def readPort(self, length: int) -> bytes:
        """Up to `length` bytes; sleeps until some come or the wait is over."""
        with _disconnects(self.port_name):
            data = self.ser.read(length)
            if not data and length > 0:
                left_s = min(max(self._deadline_s - time.monotonic(), 0.0), 0.1)
                if select.select([self.ser.fileno()], [], [], left_s)[0]:
                    data = self.ser.read(length)
            return bytes(data)

    def writePort(self, packet: Sequence[int]) -> int:
        """Writes a packet."""
        with _disconnects(self.port_name):
            return int(self.ser.write(bytes(packet)))

    def clearPort(self) -> None:
        """Forgets bytes that nobody read."""
        with _disconnects(self.port_name):
            self.ser.reset_input_buffer()


class Packets(Protocol2PacketHandler):
    """The vendor's packet handler with its byte stuffing put right.

    The original looks at bytes that it has moved already: in a packet with one stuffed byte it can take away another
    one that belongs there, after the checksum was found good.
    """

    def removeStuffing(self, packet: list[int]) -> list[int]:
        """The packet without the bytes that were put in."""
        body = unstuff(bytes(packet[_INSTRUCTION:-_CRC_BYTES]))
        length = len(body) + _CRC_BYTES
        return [*packet[:5], length & 0xFF, length >> 8, *body, *packet[-_CRC_BYTES:]]


class _disconnects(contextlib.AbstractContextManager["_disconnects"]):
    """Turns what a pulled cable does into one error."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, (OSError, termios.error, TypeError, ValueError)):
            raise DisconnectedError(
                f"serial port {self._path} is gone: {error}; is the cable plugged in?"
            ) from error


def _explain(path: str, error: BaseException) -> str:
    """One sentence on why a port cannot be opened."""
    number = getattr(error, "errno", None)
    if not os.path.exists(path):
        return f"serial port {path} is missing; plug the adapter in, and see /dev/serial/by-id for its name"
    if number == errno.EACCES or not os.access(path, os.R_OK | os.W_OK):
        return (
            f"no permission for serial port {path}; add yourself to its group: sudo usermod -aG dialout $USER"
        )
    if number in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in str(error):
        return f"serial port {path} is in use by another program; end it (fuser {path} names it)"
    if (
        number in (errno.ENOTTY, errno.EINVAL)
        or isinstance(error, termios.error)
        or "configure port" in str(error)
    ):
        return f"{path} is no serial port"
    return f"cannot open serial port {path}: {error}"
