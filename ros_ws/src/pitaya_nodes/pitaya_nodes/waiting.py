# SPDX-License-Identifier: Apache-2.0
"""What a running goal waits for, one thing at a time, with a deadline on an injected monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.task import Future

from meta_rl_core.errors import PitayaError

Monotonic = Callable[[], float]


class Waiting:
    """One pending answer. Everything runs on the node's single executor thread, so there is no lock."""

    def __init__(self, monotonic: Monotonic = time.monotonic) -> None:
        """Waits for nothing.

        Args:
            monotonic: Clock [s] that never goes backwards.
        """
        self._monotonic = monotonic
        self._future: Future | None = None
        self._timeout_s = 0.0
        self._since_s = 0.0
        self._complaint: Callable[[], PitayaError | None] = lambda: None
        self._condition: Callable[[], bool] | None = None
        self._failed: PitayaError | None = None

    def start(
        self,
        timeout_s: float,
        complaint: Callable[[], PitayaError | None],
        condition: Callable[[], bool] | None = None,
    ) -> Future:
        """Begins to wait, and forgets whatever was waited for before.

        Args:
            timeout_s: Time without progress [s] after which the wait ends.
            complaint: Makes the error the wait ends with; None ends it without one.
            condition: Ends the wait as soon as it holds; looked at now and at every `check`.
        """
        self._future, self._complaint, self._timeout_s = Future(), complaint, timeout_s
        self._condition = condition
        self.progress()
        future = self._future
        if self._failed is not None:
            self.fail(self._failed)
        elif condition is not None and condition():
            self.finish()
        return future

    @property
    def waited_s(self) -> float:
        """Time since the wait began or last made progress [s]."""
        return self._monotonic() - self._since_s

    def progress(self) -> None:
        """Starts the timeout anew."""
        self._since_s = self._monotonic()

    def finish(self, value: Any = None) -> None:
        """Ends the wait with a value."""
        future, self._future = self._future, None
        if future is not None and not future.done():
            future.set_result(value)

    def fail(self, error: PitayaError) -> None:
        """Ends this wait and all later ones with an error."""
        self._failed = error
        future, self._future = self._future, None
        if future is not None and not future.done():
            future.set_exception(error)

    def check(self) -> None:
        """Ends the wait if its condition holds or its time is up."""
        if self._future is None:
            return
        if self._condition is not None and self._condition():
            self.finish()
            return
        if self.waited_s < self._timeout_s:
            return
        error = self._complaint()
        if error is None:
            self.finish()
        else:
            self.fail(error)
