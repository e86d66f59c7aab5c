# SPDX-License-Identifier: Apache-2.0
"""Decides by stamps alone which joint states a policy answers."""

from __future__ import annotations

NANOSECONDS = 1_000_000_000
_SLACK = 5
"""A state counts as on time if it is early by at most this part (1/5) of the interval between states."""


class TickSchedule:
    """Ticks once a period on an absolute grid, whatever the rate of the states.

    With one state per period (lock-step) every state ticks; with ten, every tenth. A state that comes more
    than half a period late starts the grid anew, so that steps never bunch up to catch up.
    """

    def __init__(self, period_s: float, first_ns: int) -> None:
        """Prepares the grid.

        Args:
            period_s: Time between policy steps [s].
            first_ns: States stamped before this [ns] never tick; the first one from here on does.
        """
        self._period_ns = round(period_s * NANOSECONDS)
        self._due_ns = first_ns
        self._last_ns: int | None = None

    def ticks(self, stamp_ns: int) -> bool:
        """Whether the state with this stamp [ns], later than all before, triggers a policy step."""
        first = self._last_ns is None
        interval_ns = 0 if self._last_ns is None else min(stamp_ns - self._last_ns, self._period_ns)
        if stamp_ns < self._due_ns - interval_ns // _SLACK:
            if not first:
                self._last_ns = stamp_ns
            return False
        late_ns = stamp_ns - self._due_ns
        start = stamp_ns if first or late_ns > self._period_ns // 2 else self._due_ns
        self._due_ns = start + self._period_ns
        self._last_ns = stamp_ns
        return True
