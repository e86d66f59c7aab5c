# SPDX-License-Identifier: Apache-2.0
"""An emulated robot in virtual time below the driver: the same bytes, as fast as this machine computes."""

from __future__ import annotations

from collections.abc import Sequence

from meta_rl_core.dynamixel.port import SteadyPort
from sim_bridge.dynamixel.emulation import Delivery, Emulation


class VirtualPort(SteadyPort):
    """A port whose clock is the emulation's; waiting takes no time.

    Attributes:
        now_s: The clock [s].
    """

    def __init__(self, emulation: Emulation, baud_rate: int = 1_000_000) -> None:
        """Connects to an emulated robot."""
        super().__init__("virtual", baud_rate)
        self.emulation = emulation
        self.now_s = emulation.now_s
        self._arrived = bytearray()
        self._coming: list[Delivery] = []

    def clock(self) -> float:
        """The clock, as drivers take one."""
        return self.now_s

    def sleep(self, duration_s: float) -> None:
        """Lets time pass."""
        self.sleep_until(self.now_s + max(duration_s, 0.0))

    def sleep_until(self, time_s: float) -> None:
        """Lets time pass."""
        self.now_s = max(self.now_s, time_s)
        self.emulation.advance_to(self.now_s)

    def open(self) -> None:
        """Always works."""
        self.is_open, self.is_using = True, False

    def close(self) -> None:
        """Always works."""
        self.is_open = False

    def setPacketTimeout(self, packet_length: int) -> None:
        """As on a wire, without an operating system that makes one wait."""
        self._deadline_s = self.now_s + 10.0 * packet_length / self.baudrate + 0.002

    def setPacketTimeoutMillis(self, msec: float) -> None:
        """Waits for `msec` milliseconds."""
        self._deadline_s = self.now_s + msec / 1000.0

    def isPacketTimeout(self) -> bool:
        """Whether the wait is over."""
        return self.now_s >= self._deadline_s

    def writePort(self, packet: Sequence[int]) -> int:
        """Puts a packet on the wire."""
        data = bytes(packet)
        self._coming += self.emulation.receive(data, self.now_s, self.baudrate)
        self.now_s += 10.0 * len(data) / self.baudrate
        return len(data)

    def readPort(self, length: int) -> bytes:
        """What has arrived; if nothing has, time goes on to the next bytes or to the end of the wait."""
        self._take()
        if len(self._arrived) < length:
            due_s = min((delivery.due_s for delivery in self._coming), default=self._deadline_s)
            self.now_s = max(self.now_s, min(due_s, self._deadline_s))
            self._take()
        data = bytes(self._arrived[:length])
        del self._arrived[:length]
        return data

    def clearPort(self) -> None:
        """Forgets what has arrived."""
        self._take()
        self._arrived.clear()

    def _take(self) -> None:
        for delivery in [item for item in self._coming if item.due_s <= self.now_s]:
            self._arrived += delivery.data
            self._coming.remove(delivery)
