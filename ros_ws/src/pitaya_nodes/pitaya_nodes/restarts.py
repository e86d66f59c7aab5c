# SPDX-License-Identifier: Apache-2.0
"""How often a node that died is started again: a budget, so that a node that cannot live stays down."""

from __future__ import annotations

from collections import deque

RESTARTS = 3
WINDOW_S = 60.0
RESPAWN_DELAY_S = 1.0


class RestartBudget:
    """Permits a number of restarts within any stretch of time; once it is exceeded, none ever again.

    Attributes:
        spent: Whether a restart was refused.
    """

    def __init__(self, restarts: int = RESTARTS, window_s: float = WINDOW_S) -> None:
        """Permits `restarts` within any `window_s` [s]."""
        self.spent = False
        self._restarts, self._window_s = restarts, window_s
        self._times_s: deque[float] = deque()

    def take(self, now_s: float) -> bool:
        """Whether one more restart is permitted at this time [s] of a clock that never goes backwards."""
        while self._times_s and now_s - self._times_s[0] > self._window_s:
            self._times_s.popleft()
        self.spent = self.spent or len(self._times_s) >= self._restarts
        if self.spent:
            return False
        self._times_s.append(now_s)
        return True


def stays_down(name: str) -> str:
    """What to tell a person about a node whose budget is spent."""
    return (
        f"{name} died {RESTARTS + 1} times within {WINDOW_S:g} s and stays down; everything else goes on. "
        "Find the cause in its log, then start the bring-up again"
    )
