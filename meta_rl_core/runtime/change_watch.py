# SPDX-License-Identifier: Apache-2.0
"""Notices that the task has changed, as when the valve was swapped.

A network that comes with the bundle says of one transition how much likelier it is under some other task than under
the task that a belief stands for: the logarithm of that ratio, 0 as long as the belief knows nothing. Two things must
come together, each worth the alarm:

- Transitions speak against the belief as it was before them: Page's CUSUM test (1954) sums their log odds and begins
  anew at zero whenever the sum falls below. Meanwhile the belief judged by stays the one from before the doubt, so that
  a new task cannot first teach the belief and then agree with it.
- Two tasks one after the other explain more than one task, or none, does (a generalised likelihood ratio). A belief
  that was sure and wrong from the start is thus no change: what came before the doubt must have fitted it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from meta_rl_core.belief import TaskBelief
from meta_rl_core.errors import InvalidValueError, NonFiniteError
from meta_rl_core.runtime.context import Transition, change_row

if TYPE_CHECKING:
    from meta_rl_core.bundle import Bundle

MOST_LOG_ODDS = 4.0
"""What one transition counts at most [nat]: no single reward decides."""
LEAK = 0.1
"""Taken off with every transition [nat], so that a belief that is a little wrong does not add up."""
LOOKED_BACK = 40
"""Transitions from before the doubt that must have fitted the belief."""
FEWEST_BEFORE = 20
"""With fewer of them nothing can have changed yet: the belief is still being made."""
LONGEST_DOUBT = 25
"""Transitions after which a doubt without an alarm is given up, and the belief trusted as it is by then."""


class ChangeWatch:
    """Compares each transition with what is believed about the task.

    Attributes:
        evidence: Sum of log odds that speak against the trusted belief [nat], never negative.
        strength: The evidence, and where it is above the alarm the lesser of evidence and likelihood ratio [nat].
        doubted: Transitions since the evidence was last zero.
        judged_by: The belief that the latest transition was judged by: after an alarm, that of the former task.
    """

    def __init__(self, bundle: Bundle, belief: TaskBelief, alarm: float | None = None) -> None:
        """Starts to watch.

        Args:
            bundle: A policy that can tell changed tasks.
            belief: What is believed at present.
            alarm: How many nats it takes; as calibrated with the bundle by default.

        Raises:
            InvalidValueError: If the bundle cannot tell, or the alarm is not positive.
        """
        network = bundle.change()
        if network is None:
            raise InvalidValueError(
                f"bundle {bundle.manifest.name!r} cannot tell that its task has changed; add what it takes with "
                "`pitaya fit-change`"
            )
        self.alarm = bundle.manifest.change_alarm if alarm is None else alarm
        if not 0.0 < self.alarm < np.inf:
            raise InvalidValueError(f"the alarm must be a positive number of nats, got {self.alarm}")
        self._network, self._reward_scale = network, bundle.manifest.reward_scale_in_context
        self.begin(belief)

    def begin(self, belief: TaskBelief) -> None:
        """Goes on with another belief: what was seen so far is forgotten."""
        self.evidence = self.strength = 0.0
        self._before: deque[Transition] = deque(maxlen=LOOKED_BACK)
        self._trust(belief)
        self.judged_by = belief

    @property
    def doubted(self) -> int:
        """Transitions since the evidence was last zero."""
        return len(self._doubtful)

    def log_odds(self, transition: Transition, belief: TaskBelief) -> float:
        """How much likelier a transition is under another task than under a belief [nat], within +-4.

        Raises:
            NonFiniteError: If the network has no finite answer.
        """
        row = change_row(
            transition.observation,
            transition.action,
            np.asarray(transition.reward),
            transition.next_observation,
            self._reward_scale,
            belief.mean,
            belief.variance,
        )
        with np.errstate(all="ignore"):
            odds = float(self._network(row)[0])
        if not np.isfinite(odds):
            largest = np.abs(row).max()
            raise NonFiniteError(
                f"the change network has no finite answer to a transition of up to {largest:.3g}"
            )
        return min(max(odds, -MOST_LOG_ODDS), MOST_LOG_ODDS)

    def observed(self, transition: Transition, belief: TaskBelief) -> bool:
        """Takes a transition and the belief that it has just entered; whether the task has changed.

        Raises:
            NonFiniteError: If the network has no finite answer; then there is no alarm.
        """
        self.judged_by = self._trusted
        self.evidence = max(self.evidence + self.log_odds(transition, self._trusted) - LEAK, 0.0)
        self._doubtful.append(transition)
        self.strength = self.evidence
        if self.evidence > self.alarm:
            self.strength = min(self.evidence, self._likelihood_ratio(belief))
        changed = self.strength > self.alarm
        if self.evidence == 0.0 or self.doubted >= LONGEST_DOUBT:
            self.evidence = 0.0
            self._before.extend(self._doubtful)
            self._trust(belief)
        return changed

    def _trust(self, belief: TaskBelief) -> None:
        self._trusted = belief
        self._doubtful: list[Transition] = []
        self._fitted: float | None = None

    def _likelihood_ratio(self, belief: TaskBelief) -> float:
        """By how much a change explains the latest transitions better than one task, or none, does [nat]."""
        if len(self._before) < FEWEST_BEFORE:
            return 0.0
        if self._fitted is None:
            self._fitted = self._fit(self._before, self._trusted)
        one_task = self._fit(self._before, belief) + self._fit(self._doubtful, belief)
        return self._fitted - max(one_task, 0.0)

    def _fit(self, transitions: deque[Transition] | list[Transition], belief: TaskBelief) -> float:
        return -sum(self.log_odds(transition, belief) for transition in transitions)
