# SPDX-License-Identifier: Apache-2.0
"""Says how far a robot is from what it was commanded, and notices one that does not do it at all."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.runtime.vectors import between

Array = NDArray[np.float64]
COMMANDS = 3
"""So many commands in a row without an effect, and the robot is taken not to follow."""
LEAST_PROGRESS = 0.02
"""Share of the commanded way, summed over those commands and all joints, that a robot which follows makes at least.

The soft D'Claw, fingers at the valve, makes more than twice that in all but rare steps: see
tests/sim/test_dclaw_following.py; benchmarks/following.py counts the rare ones.
"""
COMMANDS_ACKNOWLEDGED, LEAST_PROGRESS_ACKNOWLEDGED = 5, 0.005
"""The same where the robot tells which commands it carries out: lost ones are noticed by that, so this may wait for
more evidence, and takes next to no robot that works for one that does not."""


class Following:
    """Compares each command with the state that came of it.

    Commands never lie further than a step from the measured position, so a robot that ignores them is never far
    from its command. What gives it away is that it goes nowhere near where it is sent, by more than chance and
    leftover motion explain.
    """

    def __init__(self, stall_rad: float | None, *, acknowledged: bool = False) -> None:
        """Starts at rest.

        Args:
            stall_rad: How far away a robot must be commanded, as the length of the vector of all joints, for its
                progress to be judged [rad]; None watches the distance alone.
            acknowledged: Whether the robot tells which commands it carries out.
        """
        self._stall_rad = stall_rad
        self.commands = COMMANDS_ACKNOWLEDGED if acknowledged else COMMANDS
        self._least_progress = LEAST_PROGRESS_ACKNOWLEDGED if acknowledged else LEAST_PROGRESS
        self._from: Array | None = None
        self._way: Array | None = None
        self._steps: deque[tuple[float, float]] = deque(maxlen=self.commands)

    def begin(self) -> None:
        """Forgets what was commanded: at rest, or after a hold."""
        self._from = self._way = None
        self._steps.clear()

    def error_rad(self, measured: Array) -> float | None:
        """Largest distance between the last command and where it led [rad].

        Args:
            measured: Positions [rad] of the state that came after the last command, shape (A,).

        Returns:
            None if nothing was commanded yet.
        """
        before, way, self._from = self._from, self._way, measured
        if before is None or way is None:
            return None
        moved = measured - before
        # No more than its own way counts for or against a joint, so that one wrong reading decides nothing.
        made = between(moved, -np.abs(way), np.abs(way))
        self._steps.append((float(made @ way), float(way @ way)))
        return float(np.abs(way - moved).max())

    @property
    def progress(self) -> float | None:
        """Share of the way of the last commands that was made; None where they lay too near to tell."""
        if self._stall_rad is None or len(self._steps) < self.commands:
            return None
        made, wanted = (sum(column) for column in zip(*self._steps, strict=True))
        return made / wanted if wanted >= self.commands * self._stall_rad**2 else None

    @property
    def ignored(self) -> bool:
        """Whether the last commands, far enough away to tell, led nowhere."""
        progress = self.progress
        return progress is not None and progress < self._least_progress

    @property
    def complaint(self) -> str:
        """A sentence if the last commands led nowhere, or an empty text."""
        return (
            f"the robot does not follow: {self.commands} commands in a row led nowhere"
            if self.ignored
            else ""
        )

    def sent(self, command: Array) -> None:
        """Notes what was commanded [rad], shape (A,), in answer to the state that was looked at last."""
        self._way = None if self._from is None else command - self._from
