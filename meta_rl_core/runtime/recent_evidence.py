# SPDX-License-Identifier: Apache-2.0
"""Remembers what entered a belief last, so that it can be taken back once it turns out to be in doubt.

Whether a robot really did what it was sent shows only some steps later. A transition enters the belief at once, so
that a crash loses none that waits for its proof; the belief before it is kept until the proof has had its time.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from meta_rl_core.belief import TaskBelief
from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.admission import NANOSECONDS, Admitted


class _Entered(NamedTuple):
    item: Admitted
    belief: TaskBelief


class RecentEvidence:
    """The latest transitions of a belief, each with the belief that it led to."""

    def __init__(self, period_s: float, proof_periods: int, belief: TaskBelief, stamp_ns: int = 0) -> None:
        """Starts with a belief that is beyond doubt.

        Args:
            period_s: Intended duration of a step [s].
            proof_periods: So many steps after its end a transition is beyond doubt.
            belief: What is believed.
            stamp_ns: Stamp of the newest state in it [ns].

        Raises:
            InvalidValueError: If a number is not positive.
        """
        if not period_s > 0.0 or proof_periods < 1:
            raise InvalidValueError(
                f"period_s and proof_periods must be positive, got {period_s} and {proof_periods}"
            )
        self._period_ns = round(period_s * NANOSECONDS)
        self._proof_periods = proof_periods
        self.begin(belief, stamp_ns)

    def begin(self, belief: TaskBelief, stamp_ns: int = 0) -> None:
        """Goes on with another belief, which is beyond doubt."""
        self._base, self._base_ns = belief, stamp_ns
        # One that has just ended, as many as a proof takes, and as many again that come while the doubt is on its way.
        self._entered: deque[_Entered] = deque()
        self._kept = 2 * self._proof_periods + 1

    @property
    def belief(self) -> TaskBelief:
        """What is believed without those that were taken back."""
        return self._entered[-1].belief if self._entered else self._base

    @property
    def stamp_ns(self) -> int:
        """Stamp of the newest state in the belief [ns]."""
        return self._entered[-1].item.stamp_ns if self._entered else self._base_ns

    def entered(self, item: Admitted, belief: TaskBelief) -> None:
        """Notes that a transition has led to this belief."""
        self._entered.append(_Entered(item, belief))
        if len(self._entered) > self._kept:
            settled = self._entered.popleft()
            self._base, self._base_ns = settled.belief, settled.item.stamp_ns

    def take_back(self, known_ns: int, episode_steps: int | None = None) -> list[Admitted]:
        """Takes back what may not be what it seemed; gives it, oldest first. What remains is beyond doubt.

        That is what ended less than the proof's time before the doubt. An episode that has just begun has proven
        nothing of the last steps of the one before, so that then as many go as a proof takes.

        Args:
            known_ns: Stamp of the state that raised the doubt [ns].
            episode_steps: Steps taken in the running episode, or None if none runs.
        """
        proven_ns = known_ns - self._proof_periods * self._period_ns
        has_just_begun = episode_steps is not None and episode_steps < self._proof_periods
        least = self._proof_periods if has_just_begun else 0
        back: list[Admitted] = []
        while self._entered:
            ended_ns = self._entered[-1].item.stamp_ns + self._period_ns
            if ended_ns <= proven_ns and len(back) >= least:
                break
            back.append(self._entered.pop().item)
        self.begin(self.belief, self.stamp_ns)
        return back[::-1]
