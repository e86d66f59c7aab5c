# SPDX-License-Identifier: Apache-2.0
"""Pairs steps, executed commands and rewards by stamp, however they arrive, and releases in step order."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.admission import (
    NANOSECONDS,
    AdmissionRules,
    Admitted,
    Refusal,
    Refused,
    StepRecord,
    decide,
)
from meta_rl_core.runtime.mailbox import Mailbox

Array = NDArray[np.float64]
_KEPT_REFUSALS = 1000
MISSING_TO_PAUSE = 10
"""So many steps in a row without their reward, and adaptation is taken to be paused."""


class TransitionPairing:
    """Collects the parts of transitions and lets through, in step order, those that count.

    The transition of step k needs the records of steps k and k + 1, the executed command stamped like record
    k, and the reward stamped like record k + 1. The order of arrival cannot change what comes out,
    except that a transition which stays incomplete for longer than the timeout is refused; a part never
    goes to a neighbour. Time is that of the stamps, so nothing here depends on the speed of the machine.

    Whether a robot really did what it was sent shows only later: see `recent_evidence`.

    Attributes:
        accepted: Number of transitions let through.
        rejected: Number of transitions refused.
        refusals: The latest refused transitions with their reasons.
        ignored: Messages that changed nothing, counted by reason.
    """

    def __init__(
        self,
        rules: AdmissionRules,
        timeout_s: float | None = None,
        first_episode: int = 0,
        on_refused: Callable[[Refused], None] = lambda _: None,
    ) -> None:
        """Starts empty.

        Args:
            rules: What a transition must keep to.
            timeout_s: How long after the end of a step its parts may stay away, in stamp time [s]; None waits
                until `close_episode`, as lock-step simulation needs.
            first_episode: Index of the first episode to come; each further one is one higher.
            on_refused: Called with each refused transition.

        Raises:
            InvalidValueError: If the timeout is not positive or the episode negative.
        """
        if timeout_s is not None and not 0.0 < timeout_s < math.inf:
            raise InvalidValueError(f"timeout_s must be positive or None, got {timeout_s}")
        if first_episode < 0:
            raise InvalidValueError(f"first_episode must not be negative, got {first_episode}")
        self.rules = rules
        self.accepted = 0
        self.rejected = 0
        self.refusals: deque[Refused] = deque(maxlen=_KEPT_REFUSALS)
        self.ignored: Counter[Refusal] = Counter()
        self._timeout_ns = None if timeout_s is None else round(timeout_s * NANOSECONDS)
        self._now_ns = -math.inf
        self._on_refused = on_refused
        self._missing_in_a_row = 0
        self._next = (first_episode, 0)
        self._records: dict[tuple[int, int], StepRecord] = {}
        self._executed: Mailbox[Array] = Mailbox()
        self._rewards: Mailbox[float] = Mailbox()
        self._touched: Mailbox[bool] = Mailbox()

    @property
    def pending(self) -> int:
        """Number of steps begun and not yet decided."""
        return sum(record.action is not None for record in self._records.values())

    @property
    def paused(self) -> bool:
        """Whether the latest `MISSING_TO_PAUSE` decided steps or more all lacked their reward."""
        return self._missing_in_a_row >= MISSING_TO_PAUSE

    def record(self, record: StepRecord) -> None:
        """Takes a step; a second one of the same index is ignored, as is one that was decided already."""
        key = (record.episode, record.step)
        if key < self._next:
            self.ignored[Refusal.STALE] += 1
        elif key in self._records:
            self.ignored[Refusal.DUPLICATE] += 1
        else:
            self._records[key] = record
            self.advance(record.stamp_ns)

    def executed(self, stamp_ns: int, command: Array) -> None:
        """Takes the command that reached the robot in answer to the state stamped `stamp_ns`."""
        self._note(self._executed.put(stamp_ns, np.array(command, dtype=np.float64)))

    def reward(self, stamp_ns: int, reward: float) -> None:
        """Takes the raw context reward that judges the state stamped `stamp_ns`."""
        self._note(self._rewards.put(stamp_ns, float(reward)))

    def touch(self, stamp_ns: int) -> None:
        """Notes that a person or a safety stop interfered in the step that answered the state `stamp_ns`."""
        self._note(self._touched.put(stamp_ns, True))

    def distrust(self) -> None:
        """Notes that what was executed lately is in doubt: no step that is still undecided will count."""
        for record in self._records.values():
            self.touch(record.stamp_ns)

    def advance(self, stamp_ns: int) -> None:
        """Tells the time: no transition waits longer than the timeout behind the latest stamp told."""
        self._now_ns = max(self._now_ns, stamp_ns)

    def release(self) -> list[Admitted]:
        """The transitions that count and were not released before, in step order.

        A transition waits for all earlier ones to be decided. An episode ends with a record that has no
        action, or with `close_episode`.
        """
        return self._decide_all(closing_episode=None)

    def close_episode(self, episode: int) -> list[Admitted]:
        """Releases what counts up to this episode and refuses the rest; a closed episode stays as it is."""
        admitted: list[Admitted] = []
        while self._next[0] <= episode:
            admitted += self._decide_all(closing_episode=episode)
            if self._next[0] <= episode:
                self._leave_episode(self._next[0])
        return admitted

    def withdraw(self, admitted: Admitted, reason: Refusal, detail: str) -> None:
        """Counts a released transition as refused after all; one of before a restart was never counted here."""
        self.accepted = max(self.accepted - 1, 0)
        self._refuse(Refused(admitted.episode, admitted.step, reason, detail, admitted.stamp_ns))

    def _decide_all(self, closing_episode: int | None) -> list[Admitted]:
        released: list[Admitted] = []
        while True:
            episode, step = self._next
            before = self._records.get(self._next)
            if before is not None and before.action is None:
                self._leave_episode(episode)
                continue
            after = self._records.get((episode, step + 1))
            closing = closing_episode is not None and episode <= closing_episode
            verdict = self._decide(before, after, closing=closing)
            if verdict is None:
                return released
            if isinstance(verdict, Admitted):
                self.accepted += 1
                released.append(verdict)
            else:
                self._refuse(verdict)
            self._settle(before, after)

    def _decide(
        self, before: StepRecord | None, after: StepRecord | None, *, closing: bool
    ) -> Admitted | Refused | None:
        """The verdict on the next undecided step, or None if it must wait or does not exist."""
        if before is None and not self._episode_goes_on():
            return None
        executed = None if before is None else self._executed.get(before.stamp_ns)
        reward = None if after is None else self._rewards.get(after.stamp_ns)
        if before is not None and after is not None and executed is not None and reward is not None:
            self._missing_in_a_row = 0
            touched = self._touched.get(before.stamp_ns) is not None
            return decide(self.rules, before, after, executed, reward, touched)
        if not closing and not self._timed_out(before, after):
            return None
        parts = {
            "its record": before,
            "the next state": after,
            "the executed command": executed,
            "the reward": reward,
        }
        absent = ", ".join(name for name, part in parts.items() if part is None)
        self._missing_in_a_row = self._missing_in_a_row + 1 if reward is None else 0
        stamp_ns = 0 if before is None else before.stamp_ns
        return Refused(*self._next, Refusal.INCOMPLETE, f"these never came: {absent}", stamp_ns)

    def _episode_goes_on(self) -> bool:
        return any(key[0] == self._next[0] and key > self._next for key in self._records)

    def _timed_out(self, before: StepRecord | None, after: StepRecord | None) -> bool:
        if self._timeout_ns is None:
            return False
        if after is not None:
            ended_ns = after.stamp_ns
        elif before is not None:
            ended_ns = before.stamp_ns + round((self.rules.period_s or 0.0) * NANOSECONDS)
        else:
            later = [record.stamp_ns for key, record in self._records.items() if key[0] == self._next[0]]
            ended_ns = min(later)
        return self._now_ns > ended_ns + self._timeout_ns

    def _settle(self, before: StepRecord | None, after: StepRecord | None) -> None:
        """Drops the parts of the decided step, so that none can serve another."""
        if before is not None:
            self._executed.settle(before.stamp_ns)
            self._touched.settle(before.stamp_ns)
            self._rewards.settle(before.stamp_ns if after is None else after.stamp_ns)
        self._records.pop(self._next, None)
        self._next = (self._next[0], self._next[1] + 1)

    def _leave_episode(self, episode: int) -> None:
        self._records = {key: record for key, record in self._records.items() if key[0] > episode}
        self._next = (episode + 1, 0)

    def _refuse(self, refused: Refused) -> None:
        self.rejected += 1
        self.refusals.append(refused)
        self._on_refused(refused)

    def _note(self, refusal: Refusal | None) -> None:
        if refusal is not None:
            self.ignored[refusal] += 1
