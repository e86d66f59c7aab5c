# SPDX-License-Identifier: Apache-2.0
"""Notices that two joints have exchanged what they measure: a plug in the wrong socket, an id or a name mixed up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError

Array = NDArray[np.float64]
NANOSECONDS = 1_000_000_000
ALARM = 3.4
"""Evidence at which two joints count as exchanged; rows 18 a and 18 c of docs/fault_report.md say what that finds and
what it takes for an exchange that is none."""
_LEAST, _LEAST_IF_EXCHANGED, _MOST = 0.1, 0.4, 1.1
"""Shares of its commanded way that a joint makes in a step. One that is pushed against something makes little, so
standing nearly still is no evidence against a joint's own command; it is not for another one's either."""
_SPREAD = 0.24
"""How far outside them a move still is no surprise, as a share of the largest step."""
_SURPRISE = 4.0
"""The most that one move of one joint counts."""
_LEAP = 1.25
"""A joint that moved further, as a share of the largest step, is judged before anything more is sent."""
_LEAK = 0.08
"""What evidence loses in a step."""
_USUAL, _MEMORY = 0.05, 1.0 / 20.0
"""Mean surprise of joints that follow well, and the weight of the newest step in its running mean."""
_OTHER_AT_MOST = 9.0
"""How many times the evidence of one joint that of the other may count."""


class SwapWatch:
    """Compares, for every two joints, how well their own commands and each other's explain how they moved.

    Evidence is a sum of differences of log likelihoods, kept from falling below zero as in Page's CUSUM test
    (Biometrika 41, 1954), for each of both: a joint that is stuck looks like many things, so both must look
    exchanged. A robot whose other joints follow badly as well, since it is soft or slow, must look so more clearly.
    """

    def __init__(
        self, joints: tuple[str, ...], max_step_rad: Array | None, period_s: float, alarm: float = ALARM
    ) -> None:
        """Starts without evidence.

        Args:
            joints: The commanded joints, A of them.
            max_step_rad: How far each is commanded from where it is at most [rad], shape (A,). Without it nothing is
                watched: nothing says what a small move is.
            period_s: Time between two policy steps [s].
            alarm: Evidence from which on two joints count as exchanged; 0 watches nothing.

        Raises:
            InvalidValueError: If the alarm is negative.
        """
        if not 0.0 <= alarm < np.inf:
            raise InvalidValueError(f"alarm must be 0 or positive, got {alarm}")
        self._joints, self._alarm = joints, alarm
        self._watches = alarm > 0.0 and max_step_rad is not None and len(joints) > 2
        self._max_step: Array = np.ones(len(joints)) if max_step_rad is None else max_step_rad
        self._period_ns = period_s * NANOSECONDS
        self._one, self._other = np.triu_indices(len(joints), 1)
        self._surprise: Array = np.full(len(joints), _USUAL)
        self.begin()

    def begin(self) -> None:
        """Forgets what was seen and commanded: at rest, or after a hold."""
        self._last: tuple[int, Array, Array] | None = None
        self._now: tuple[int, Array] | None = None
        self._open = False
        self._pair: tuple[int, ...] = ()
        self._evidence: Array = np.zeros((2, len(self._one)))
        self.strength = 0.0
        self.complaint = ""

    def measured(self, stamp_ns: int, position: Array) -> str:
        """Takes a joint state before it is answered; judges at once if a joint leapt, otherwise `sent` does.

        Args:
            stamp_ns: Its stamp [ns].
            position: Its positions [rad], shape (A,).

        Returns:
            A sentence that names the two joints, or an empty text.
        """
        last, self._now, self._open = self._last, None, False
        if not self._watches or (last is not None and last[0] == stamp_ns):
            return self.complaint
        self._now = stamp_ns, position.copy()
        if last is None or abs(stamp_ns - last[0] - self._period_ns) >= 0.5 * self._period_ns:
            # Between two episodes the robot is put back, and what lasted longer than a step is not one.
            return self.complaint
        self._open = not (np.abs(position - last[1]) > _LEAP * self._max_step).any()
        return self.complaint if self._open else self._judge(*last[1:], position)

    def sent(self, command: Array) -> str:
        """Notes what was sent [rad] in answer to that state, shape (A,); returns as `measured` does."""
        if self._now is not None:
            if self._open and self._last is not None:
                self._judge(*self._last[1:], self._now[1])
            self._last, self._now = (*self._now, command.copy()), None
        return self.complaint

    def sorted_back(self, position: Array) -> Array:
        """Where joints are that measure `position` [rad], shape (A,): two that are exchanged change places."""
        order = np.arange(len(position))
        order[list(self._pair)] = self._pair[::-1]
        return np.asarray(position[order])

    def _judge(self, before: Array, command: Array, after: Array) -> str:
        one, other = self._one, self._other
        way, moved = command - before, after - before
        own = self._surprise_of(moved, way, _LEAST)
        crossed = self._surprise_of(moved[:, None], command - before[:, None], _LEAST_IF_EXCHANGED)
        leapt = self._surprise_of(after[:, None] - before, way, _LEAST)
        gained = np.stack([own[one] - crossed[one, other], own[other] - crossed[other, one]])
        # In the step in which they are exchanged each joint seems to leap to where the other one goes.
        began = np.stack([own[one] - leapt[one, other], own[other] - leapt[other, one]])
        trust = self._trust()
        self._surprise += _MEMORY * (own - self._surprise)
        self._gather(gained * trust - _LEAK, began * trust)
        return self.complaint

    def _surprise_of(self, moved: Array, way: Array, least: float) -> Array:
        """Minus the log likelihood of moves on commanded ways [rad], up to a constant; at most `_SURPRISE`."""
        nearest = least * np.maximum(np.minimum(way, self._max_step), -self._max_step)
        furthest = _MOST * way
        low, high = np.minimum(nearest, furthest), np.maximum(nearest, furthest)
        allowed = np.maximum(np.minimum(moved, high), low)
        outside = (moved - allowed) / (_SPREAD * self._max_step)
        return np.minimum(0.5 * outside * outside, _SURPRISE)

    def _trust(self) -> Array:
        """What evidence about each pair is worth, in (0, 1], by how badly all other joints follow."""
        total = self._surprise.sum() - self._surprise[self._one] - self._surprise[self._other]
        return 1.0 / np.maximum(1.0, total / ((len(self._joints) - 2) * _USUAL))

    def _gather(self, gained: Array, began: Array) -> None:
        evidence = self._evidence + gained
        evidence[:, evidence.sum(axis=0) < 0.0] = 0.0
        anew = began.min(axis=0) > np.maximum(evidence.min(axis=0), 0.0)
        self._evidence = np.where(anew, began, evidence)
        least, most = self._evidence.min(axis=0), self._evidence.max(axis=0)
        strength = np.where(least > 0.0, least + np.minimum(most, _OTHER_AT_MOST * least), 0.0)
        pair = int(strength.argmax())
        self.strength = float(strength[pair])
        if self.strength > self._alarm and not self.complaint:
            self._pair = int(self._one[pair]), int(self._other[pair])
            one, other = (self._joints[joint] for joint in self._pair)
            self.complaint = (
                f"{one} and {other} seem to have exchanged what they measure: each moves as the other is commanded; "
                "check their cables, ids and names, and whether their commands arrive"
            )
