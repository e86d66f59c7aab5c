# SPDX-License-Identifier: Apache-2.0
"""Puts an emulated robot behind a pseudo-terminal, so that any serial client can talk to it in real time."""

from __future__ import annotations

import contextlib
import os
import select
import termios
import time
import tty
from collections import deque
from pathlib import Path
from types import TracebackType

from meta_rl_core.errors import InvalidValueError
from sim_bridge.dynamixel.emulation import Delivery, Emulation

IDLE_S = 0.02
"""How often time passes for the motors when nobody talks to them."""
FARTHEST_BEHIND_S = 0.03
"""On a machine too busy to keep up emulated time runs slower; answers are not kept waiting for physics."""
_READ_BYTES = 4096
_SPEEDS = {
    getattr(termios, f"B{rate}"): rate
    for rate in (9600, 57_600, 115_200, 1_000_000, 2_000_000, 3_000_000, 4_000_000)
}


class EmulatedPort:
    """A pseudo-terminal that answers like the robot; `serve` must run for it to do so.

    Attributes:
        emulation: The robot.
        link: Path that always points at the present terminal, or None.
    """

    def __init__(self, emulation: Emulation, link: Path | None = None, factor: float = 1.0) -> None:
        """Opens the terminal.

        Args:
            emulation: The robot.
            link: Where to put a symbolic link to the terminal.
            factor: Emulated seconds per second.

        Raises:
            InvalidValueError: If something that is no link stands at `link`, or it cannot be made.
        """
        self.emulation = emulation
        self.link = link
        self._factor = factor
        self._boot_s = self._begin_s = time.monotonic()
        self._waiting: deque[Delivery] = deque()
        self._stop_reader, self._stop_writer = os.pipe()
        self._ends: tuple[int, int] | None = None
        self._connect()

    @property
    def path(self) -> str:
        """Path of the terminal: the link if there is one."""
        if self.link is not None:
            return str(self.link)
        return "" if self._ends is None else os.ttyname(self._ends[1])

    def serve(self) -> None:
        """Answers until `stop` is called, from another thread or a signal handler."""
        while self._step():
            pass

    def stop(self) -> None:
        """Ends `serve`."""
        os.write(self._stop_writer, b"x")

    def close(self) -> None:
        """Takes terminal and link away."""
        self._disconnect()
        for end in (self._stop_reader, self._stop_writer):
            with contextlib.suppress(OSError):
                os.close(end)

    def __enter__(self) -> EmulatedPort:
        """Nothing to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Takes terminal and link away."""
        self.close()

    def _now_s(self) -> float:
        return (time.monotonic() - self._begin_s) * self._factor

    def _step(self) -> bool:
        pause_s = IDLE_S
        if self._waiting:
            pause_s = min(max((self._waiting[0].due_s - self._now_s()) / self._factor, 0.0), IDLE_S)
        watched = [self._stop_reader] + ([self._ends[0]] if self._ends else [])
        ready, _, _ = select.select(watched, [], [], pause_s)
        if self._stop_reader in ready:
            return False
        behind_s = self._now_s() - self.emulation.now_s - FARTHEST_BEHIND_S * self._factor
        self._begin_s += max(behind_s, 0.0) / self._factor
        now_s = self._now_s()
        if self._ends is not None and self._ends[0] in ready:
            self._hear(now_s)
        self.emulation.advance_to(now_s)
        self._plug(self.emulation.faults.disconnected(now_s))
        while self._waiting and self._waiting[0].due_s <= self._now_s():
            self._say(self._waiting.popleft().data)
        return True

    def _hear(self, now_s: float) -> None:
        if self._ends is None:
            return
        try:
            data = os.read(self._ends[0], _READ_BYTES)
        except OSError:
            return
        # A speed that no motor knows is one that none of them listens to.
        rate = _SPEEDS.get(termios.tcgetattr(self._ends[0])[5], 1)
        self._waiting.extend(
            self.emulation.receive(data, now_s, rate, clock_s=time.monotonic() - self._boot_s)
        )

    def _say(self, data: bytes) -> None:
        if self._ends is not None:
            # A client that does not read loses what does not fit, as on a wire.
            with contextlib.suppress(OSError):
                os.write(self._ends[0], data)

    def _plug(self, out: bool) -> None:
        if out and self._ends is not None:
            self._disconnect()
        elif not out and self._ends is None:
            self._connect()

    def _connect(self) -> None:
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        self._ends = (master, slave)
        self._waiting.clear()
        if self.link is not None:
            _point(self.link, os.ttyname(slave))

    def _disconnect(self) -> None:
        """As a pulled plug: whoever has the terminal open gets an input/output error."""
        if self._ends is None:
            return
        if self.link is not None:
            with contextlib.suppress(OSError):
                self.link.unlink()
        for end in self._ends:
            os.close(end)
        self._ends = None
        self._waiting.clear()


def _point(link: Path, target: str) -> None:
    if link.exists() and not link.is_symlink():
        raise InvalidValueError(f"{link} is there and is no link; give another path for --link")
    fresh = link.with_name(f"{link.name}.{os.getpid()}")
    try:
        fresh.symlink_to(target)
        fresh.replace(link)
    except OSError as error:
        raise InvalidValueError(f"cannot make the link {link}: {error.strerror or error}") from error
