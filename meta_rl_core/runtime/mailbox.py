# SPDX-License-Identifier: Apache-2.0
"""Values waiting by stamp: the first one counts, what is settled takes no more, and memory is bounded."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

from meta_rl_core.runtime.admission import Refusal

Value = TypeVar("Value")
CAPACITY = 100_000


class Mailbox(Generic[Value]):
    """Messages of one kind, by stamp."""

    def __init__(self) -> None:
        """Starts empty."""
        self._values: dict[int, Value] = {}
        self._stamps: list[int] = []
        self._settled_ns: int | None = None

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._values)

    def put(self, stamp_ns: int, value: Value) -> Refusal | None:
        """Takes a message, or says why not."""
        if self._settled_ns is not None and stamp_ns <= self._settled_ns:
            return Refusal.STALE
        if stamp_ns in self._values:
            return Refusal.DUPLICATE
        # Full: the newest is turned away, since older ones belong to steps that are still undecided.
        if len(self._values) >= CAPACITY:
            return Refusal.OVERFLOW
        self._values[stamp_ns] = value
        heapq.heappush(self._stamps, stamp_ns)
        return None

    def get(self, stamp_ns: int) -> Value | None:
        """The message with this very stamp, if it came."""
        return self._values.get(stamp_ns)

    def settle(self, stamp_ns: int) -> None:
        """Nothing stamped up to `stamp_ns` is needed any more."""
        if self._settled_ns is not None and stamp_ns <= self._settled_ns:
            return
        self._settled_ns = stamp_ns
        while self._stamps and self._stamps[0] <= stamp_ns:
            del self._values[heapq.heappop(self._stamps)]
