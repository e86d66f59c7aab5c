# SPDX-License-Identifier: Apache-2.0
"""Moves a robot back to its start pose, step by step from where it is measured. Knows no ROS."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.runtime.safety_filter import SafetyFilter
from meta_rl_core.runtime.supervisor import Mode

Array = NDArray[np.float64]
NANOSECONDS = 1_000_000_000
SPEED_SHARE = 0.25
"""Share of the allowed speed."""
TOLERANCE_RAD = np.pi / 36
"""So near to the pose, 5 degrees, it counts as reached: fingers sag under their weight."""
LONGEST_S = 15.0


class ReturnToStart:
    """One way back.

    Attributes:
        outcome: One sentence once it has ended; empty before.
    """

    def __init__(self, start_rad: Array, safe: SafetyFilter, now_ns: int) -> None:
        """Begins.

        Args:
            start_rad: Pose to return to [rad], shape (A,).
            safe: Limits every step.
            now_ns: Present time [ns].
        """
        self.outcome = ""
        self._start_rad, self._safe = start_rad, safe
        self._begun_ns, self._sent_ns = now_ns, -1
        self._answered_ns = -1

    def command(self, now_ns: int, stamp_ns: int, measured: Array) -> Array | None:
        """The next command [rad], shape (A,), or None where none is due.

        Args:
            now_ns: Present time [ns].
            stamp_ns: Stamp of the measurement [ns]; each is answered once.
            measured: Positions [rad], shape (A,).
        """
        if self.outcome or stamp_ns == self._answered_ns:
            return None
        far_rad = float(np.abs(measured - self._start_rad).max())
        if far_rad <= TOLERANCE_RAD:
            self.outcome = "the start pose is reached"
            return self._safe.limit(self._start_rad, measured).command
        if now_ns - self._begun_ns > LONGEST_S * NANOSECONDS:
            self.outcome = (
                f"the start pose was not reached within {LONGEST_S:g} s, {far_rad:.2f} rad are left"
            )
            return self._safe.hold(measured)
        if self._sent_ns >= 0 and now_ns - self._sent_ns < self._safe.period_s * NANOSECONDS:
            return None
        self._answered_ns, self._sent_ns = stamp_ns, now_ns
        return self._safe.limit(self._start_rad, measured, share=SPEED_SHARE).command


def why_not_now(active: bool, mode: Mode, reason: str, start_known: bool) -> str:
    """Why a gate cannot move its robot to the start pose at present, or an empty text."""
    if not active:
        return "the gate is not active; activate it first"
    if mode >= Mode.FAULT:
        return f"{reason}; call ~/clear first"
    if mode is Mode.ACTIVE:
        return "commands pass; cancel the goal first"
    return "" if start_known else "no start pose is known: set the parameter robot"
