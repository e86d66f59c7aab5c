# SPDX-License-Identifier: Apache-2.0
"""Notices a robot that no longer tells which commands it carries out, because they get lost on the way to it."""

from __future__ import annotations

from collections import deque

from meta_rl_core.errors import InvalidValueError

_NANOSECONDS = 1_000_000_000
_MOST_OPEN = 256


class Acknowledgements:
    """Keeps the commands that nobody has acknowledged yet.

    Both ends have a say in what is late: the time since a command left, and the stamps of the states that have come
    since. A sender that stood still sees old commands, but no later states; a clock that was set sees later states
    of young commands; a robot that stood still sends neither states nor acknowledgements. None of them is a loss.
    """

    def __init__(self, patience_s: float) -> None:
        """Starts with nothing sent.

        Args:
            patience_s: How long a command may stay unacknowledged, by the clock and by stamps [s].

        Raises:
            InvalidValueError: If that is not positive.
        """
        if not patience_s > 0.0:
            raise InvalidValueError(f"patience_s must be positive, got {patience_s}")
        self._patience_ns = round(patience_s * _NANOSECONDS)
        self._open: deque[tuple[int, int]] = deque(maxlen=_MOST_OPEN)

    def begin(self) -> None:
        """Forgets what was sent."""
        self._open.clear()

    def sent(self, stamp_ns: int, now_ns: int) -> None:
        """Notes a command that answers the state stamped `stamp_ns` [ns] and leaves now."""
        self._open.append((stamp_ns, now_ns))

    def applied(self, stamp_ns: int) -> None:
        """The robot carries out the command of this stamp [ns]; earlier ones no longer matter to it."""
        if any(stamp == stamp_ns for stamp, _ in self._open):
            while self._open.popleft()[0] != stamp_ns:
                pass

    def complaint(self, latest_ns: int | None, now_ns: int) -> str:
        """A sentence if a command got lost, or an empty text.

        Args:
            latest_ns: Stamp of the latest sound state [ns], None before the first.
            now_ns: The present time on the clock of `sent` [ns].
        """
        if not self._open or latest_ns is None:
            return ""
        stamp_ns, sent_ns = self._open[0]
        late_ns = min(latest_ns - stamp_ns, now_ns - sent_ns)
        if late_ns <= self._patience_ns:
            return ""
        return (
            f"the robot does not follow: for {1e-9 * late_ns:.2f} s it has not told that it carries out the command "
            f"for the state stamped {1e-9 * stamp_ns:.3f} s, allowed {1e-9 * self._patience_ns:g} s; commands get lost "
            "on the way, or its own log says why it takes none"
        )
