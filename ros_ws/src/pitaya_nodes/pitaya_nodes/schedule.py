# SPDX-License-Identifier: Apache-2.0
"""Decides by stamps alone which joint states a policy answers."""

from __future__ import annotations

NANOSECONDS = 1_000_000_000
_SHORTEST = 5
"""No step is shorter than 1/5 of the period."""


class TickSchedule:
    """Ticks once a period on an absolute grid, whatever the rate of the states.

    With one state per period (lock-step) every state ticks; with ten, every tenth: the one nearest to the grid point,
    so early by at most half the interval between states (the longer of the last two, for they jitter) and not within
    half a period of the last tick. A state that comes late does not shift the grid, and grid points that were missed
    are not made up for.

    Attributes:
        skipped: Grid points missed before the latest tick.
    """

    def __init__(self, period_s: float, first_ns: int) -> None:
        """Prepares the grid.

        Args:
            period_s: Time between policy steps [s].
            first_ns: States stamped before this [ns] never tick; the first one from here on does, and the grid
                starts with it.
        """
        self._period_ns = round(period_s * NANOSECONDS)
        self._due_ns = first_ns
        self._last_ns: int | None = None
        self._interval_ns = 0
        self._not_before_ns = first_ns
        self.skipped = 0

    def ticks(self, stamp_ns: int) -> bool:
        """Whether the state with this stamp [ns], later than all before, triggers a policy step."""
        if self._last_ns is None:
            if stamp_ns < self._due_ns:
                return False
            self._due_ns = stamp_ns
        former_ns, self._interval_ns = self._interval_ns, stamp_ns - (self._last_ns or stamp_ns)
        self._last_ns = stamp_ns
        interval_ns = min(max(former_ns, self._interval_ns), self._period_ns)
        if stamp_ns < self._due_ns and stamp_ns < max(self._due_ns - interval_ns // 2, self._not_before_ns):
            return False
        self._not_before_ns = stamp_ns + self._period_ns // 2
        shortest_ns = self._period_ns // _SHORTEST
        self.skipped = max(stamp_ns + shortest_ns - self._due_ns - 1, 0) // self._period_ns
        self._due_ns += (self.skipped + 1) * self._period_ns
        return True
