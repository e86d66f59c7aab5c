# SPDX-License-Identifier: Apache-2.0
"""Says how far a robot is from what it was commanded, and notices one that does not do it at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.runtime.vectors import between

Array = NDArray[np.float64]
COMMANDS, COMMANDS_ACKNOWLEDGED, FURTHER = 3, 5, 3
"""So many commands in a row without an effect, and the robot is taken not to follow; three more are looked at.

Where the robot tells which commands it carries out, lost ones are noticed by that, so this may wait for more evidence.
"""
LEAST_RESPONSE = 0.12
"""Least share, as a length over those commands and all joints, that a robot which follows makes of what they ask for.

The soft D'Claw, fingers at the valve, makes twice that, and a third of it once its commands get lost: see
tests/sim/test_dclaw_following.py; benchmarks/following.py counts the rare steps in which they are confused.
"""


class Following:
    """Compares each command with the state that came of it.

    Commands never lie further than a step from the measured position, so a robot that ignores them is never far
    from its command. What gives it away: it rests, or still goes where the last command that reached it sent it, and
    makes nothing of what only the later ones ask for. Where these ask for nothing else, nobody can tell, and it does
    no harm.
    """

    def __init__(self, stall_rad: float | None, *, acknowledged: bool = False) -> None:
        """Starts at rest.

        Args:
            stall_rad: How much further than the command before them so many commands must lead to be judged, as the
                length of the vector of all joints, on average [rad]; None watches the distance alone.
            acknowledged: Whether the robot tells which commands it carries out.
        """
        self.commands = COMMANDS_ACKNOWLEDGED if acknowledged else COMMANDS
        self._least_asked = None if stall_rad is None else self.commands * stall_rad**2
        self._rows = slice(1 - self.commands - FURTHER, None)
        self._from: Array | None = None
        self._command: Array | None = None
        self._former: Array | None = None
        self._targets: Array
        self._made: Array
        self._asked: Array
        self.begin()

    def begin(self) -> None:
        """Forgets what was commanded: at rest, or after a hold."""
        self._from = self._command = self._former = None
        # One row for each of the last steps: the command before it, which would be the last to have reached the
        # robot if that step's was the first to be lost, and what was made and asked for beyond it since then.
        self._targets = np.zeros((0, 0))
        self._made = self._asked = np.zeros(0)

    def error_rad(self, measured: Array) -> float | None:
        """Largest distance between the last command and where it led [rad].

        Args:
            measured: Positions [rad] of the state that came after the last command, shape (A,).

        Returns:
            None if nothing was commanded yet.
        """
        before, command, self._from = self._from, self._command, measured
        if before is None or command is None:
            return None
        if self._least_asked is not None:
            # A robot that never got a command stays where it is.
            self._add(before, command, measured, before if self._former is None else self._former)
        self._former = command
        return float(np.abs(command - measured).max())

    def _add(self, before: Array, command: Array, measured: Array, former: Array) -> None:
        rows = self._rows
        known = self._targets[rows] if self._targets.size else np.zeros((0, former.size))
        self._targets = np.concatenate([known, former[None]])
        left, way = self._targets - before, command - before
        low, high, most = np.minimum(left, 0.0), np.maximum(left, 0.0), np.abs(way)
        # No more than its own way counts for or against a joint, or one wrong reading would outweigh all others.
        moved = between(measured - before, -most, most)
        self._made = np.append(self._made[rows], 0.0) + ((moved - between(moved, low, high)) ** 2).sum(axis=1)
        self._asked = np.append(self._asked[rows], 0.0) + ((way - between(way, low, high)) ** 2).sum(axis=1)

    @property
    def response(self) -> float | None:
        """Share that was made of what only the last commands ask for: the least, of so many or up to three more.

        None where they ask for too little to tell.
        """
        if self._least_asked is None or len(self._made) < self.commands:
            return None
        old_enough = slice(None, 1 - self.commands)
        made, asked = self._made[old_enough], self._asked[old_enough]
        told = asked >= self._least_asked
        return float(np.sqrt((made[told] / asked[told]).min())) if told.any() else None

    @property
    def ignored(self) -> bool:
        """Whether the last commands, far enough away to tell, led nowhere."""
        response = self.response
        return response is not None and response < LEAST_RESPONSE

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
        self._command = None if self._from is None else command
