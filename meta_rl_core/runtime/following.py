# SPDX-License-Identifier: Apache-2.0
"""Says how far a robot is from what it was commanded, and notices one that does not move at all."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
STILL_RAD = 0.002
"""Joints that moved less than this stood still: a little more than one tick of a Dynamixel's encoder."""


class Following:
    """Compares each command with the state that came of it.

    Commands never lie further than a step from the measured position, so a robot that ignores them is never far
    from its command. What gives it away is that no joint moves although one is commanded well away.
    """

    def __init__(self, stall_rad: float | None) -> None:
        """Starts at rest.

        Args:
            stall_rad: Distance between command and position at which at least one joint must move [rad]; None
                watches the distance alone.
        """
        self._stall_rad = stall_rad
        self._commanded: Array | None = None
        self._anchor: Array | None = None

    def begin(self) -> None:
        """Forgets what was commanded: at rest, or after a hold."""
        self._commanded = self._anchor = None

    def error_rad(self, measured: Array) -> float | None:
        """Largest distance between the last command and where it led [rad]; infinite where nothing moves.

        Args:
            measured: Positions [rad] of the state that came after the last command, shape (A,).

        Returns:
            None if nothing was commanded yet.
        """
        if self._commanded is None or self._anchor is None:
            self._anchor = measured
            return None
        distance = float(np.abs(self._commanded - measured).max())
        if float(np.abs(measured - self._anchor).max()) > STILL_RAD:
            self._anchor = measured
            return distance
        stalls = self._stall_rad is not None and distance > self._stall_rad
        return math.inf if stalls else distance

    def sent(self, command: Array) -> None:
        """Notes what was commanded [rad], shape (A,)."""
        self._commanded = command
