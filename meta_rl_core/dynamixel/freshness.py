# SPDX-License-Identifier: Apache-2.0
"""How old a reading is, by the motor's own clock: an answer that was held up must not pass for the present.

Answers carry no number of the request they belong to, so one that comes after its cycle looks like the next one's.
"""

from __future__ import annotations

TICK_S = 1e-3
TICK_WRAP = 32_768
"""The motor counts milliseconds from 0 to 32,767 (register 120)."""
LARGEST_DRIFT = 0.02
"""Share by which a motor's clock may run slower than this machine's."""


class MotorClock:
    """Compares the milliseconds that a motor counted with those that passed here.

    The promptest reading is the measure: lateness is how much longer another one took. What looks like lateness and
    grows no faster than `LARGEST_DRIFT` is a slow clock.
    """

    def __init__(self) -> None:
        """Knows nothing: the first reading counts as prompt."""
        self._tick: int | None = None
        self._heard_s = 0.0
        self._late_s = 0.0

    def late_s(self, tick: int, now_s: float) -> float:
        """How late a reading is [s] that shows `tick` and is there at `now_s`; readings may be 16 s apart."""
        if self._tick is None:
            return 0.0
        passed_s = now_s - self._heard_s
        ticks = (tick - self._tick + TICK_WRAP // 2) % TICK_WRAP - TICK_WRAP // 2
        return max(self._late_s + (1.0 - LARGEST_DRIFT) * passed_s - ticks * TICK_S, 0.0)

    def take(self, tick: int, now_s: float) -> None:
        """Takes a reading as the latest one."""
        self._late_s = self.late_s(tick, now_s)
        self._tick, self._heard_s = tick, now_s
