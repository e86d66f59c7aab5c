# SPDX-License-Identifier: Apache-2.0
"""A command may overtake the state it answers, for two topics have no common order; it is kept until that one comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from meta_rl_core.runtime.terms import JointReading

RETRY_PERIOD_S = 0.002
_MOST_RETRIES = 25
"""Then the state was lost, and looking for it must not keep the processor busy."""


class EarlyCommand:
    """At most one command, the latest, that waits for its state.

    Attributes:
        timer: Calls for another try every 2 ms while a command waits, for 50 ms.
    """

    def __init__(self, node: Node, retry: Callable[[], None]) -> None:
        """Waits for nothing yet.

        Args:
            node: Who waits.
            retry: Looks for the state; takes the command if it has come.
        """
        self._retry = retry
        self._command: JointReading | None = None
        self._retries = 0
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.timer: Any = node.create_timer(RETRY_PERIOD_S, self._again, clock=steady, autostart=False)

    @property
    def stamp_ns(self) -> int | None:
        """Stamp of the state that is waited for [ns], or None."""
        return None if self._command is None else self._command.stamp_ns

    def keep(self, command: JointReading) -> None:
        """Keeps a command, in place of one that waits already."""
        self._command, self._retries = command, 0
        self.timer.reset()

    def take(self) -> JointReading | None:
        """The command that waits, which does so no longer."""
        command, self._command = self._command, None
        if command is not None:
            self.timer.cancel()
        return command

    def _again(self) -> None:
        self._retries += 1
        if self._retries >= _MOST_RETRIES:
            self.timer.cancel()
        self._retry()
