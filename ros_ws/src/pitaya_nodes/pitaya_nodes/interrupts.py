# SPDX-License-Identifier: Apache-2.0
"""Turns SIGINT, SIGTERM and SIGHUP into a flag, so that a command ends its children in peace."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """While entered, the first signal sets the flag; further ones change nothing.

    Attributes:
        received: Number of the first signal, or None.
    """

    def __init__(self) -> None:
        """Nothing was received."""
        self.received: int | None = None
        self._former: dict[int, Any] = {}
        self._reader = self._writer = -1

    def __enter__(self) -> Interrupts:
        """Takes over the signals."""
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        for number in SIGNALS:
            self._former[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the signals back."""
        for number, handler in self._former.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)

    def wait(self, timeout_s: float) -> bool:
        """Waits up to `timeout_s` [s] for a signal; whether one was received."""
        if self.received is None:
            select.select([self._reader], [], [], timeout_s)
        return self.received is not None

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self.received is None:
            self.received = number
            os.write(self._writer, b"!")
