# SPDX-License-Identifier: Apache-2.0
"""A command may overtake the state it answers, for two topics have no common order; it is kept for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from meta_rl_core.runtime.terms import JointReading

RETRY_PERIOD_S = 0.002
_MOST_RETRIES = 25
"""Then the state is late, and looking for it must not keep the processor busy."""


class EarlyCommand:
    """At most one command, the latest, that waits for its state.

    Attributes:
        command: The command that waits, or None.
        timer: Calls for another look every 2 ms while a command waits, for 50 ms.
    """

    def __init__(self, node: Node, look: Callable[[], None], longest_ns: int) -> None:
        """Waits for nothing yet.

        Args:
            node: Who waits.
            look: Looks whether the state has come.
            longest_ns: What has waited longer than this [ns] is late: the robot is elsewhere by now.
        """
        self.command: JointReading | None = None
        self._look, self._longest_ns = look, longest_ns
        self._since_ns = self._looks = 0
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.timer: Any = node.create_timer(RETRY_PERIOD_S, self._again, clock=steady, autostart=False)

    def keep(self, command: JointReading, now_ns: int) -> None:
        """Keeps a command that came just now, in place of one that waits already."""
        self.command, self._since_ns, self._looks = command, now_ns, 0
        self.timer.reset()

    def late(self, now_ns: int) -> bool:
        """Whether a command waits and has done so for too long."""
        return self.command is not None and now_ns - self._since_ns > self._longest_ns

    def forget(self) -> None:
        """Nothing waits any longer."""
        if self.command is not None:
            self.command = None
            self.timer.cancel()

    def _again(self) -> None:
        self._looks += 1
        if self._looks >= _MOST_RETRIES:
            self.timer.cancel()
        self._look()
