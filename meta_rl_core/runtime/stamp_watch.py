# SPDX-License-Identifier: Apache-2.0
"""Tells a wild stamp from a source whose time has leapt, so that one bad message does not make all others old."""

from __future__ import annotations

from enum import Enum

NANOSECONDS = 1_000_000_000
LEAP_NS = NANOSECONDS
"""Stamps of one source lie closer together than this, unless it was silent, started anew or had its clock set."""


class Stamp(Enum):
    """What a stamp says of its message."""

    SOUND = "goes on where the ones before it were"
    WILD = "lies far from the ones before it, and nothing has confirmed it yet"
    LEAPT = "confirms the one before it: the source's time is another one from here on"


class StampWatch:
    """Follows the stamps of one source. A leap counts once two stamps in a row agree on it."""

    def __init__(self) -> None:
        """Starts without any stamp; the first one is sound."""
        self._latest_ns: int | None = None
        self._wild_ns: int | None = None

    @property
    def latest_ns(self) -> int | None:
        """The stamp that others are held against [ns], or None before the first."""
        return self._latest_ns

    def see(self, stamp_ns: int) -> Stamp:
        """Judges the next stamp [ns] of the source.

        A message with a wild stamp must not be used. After a silence of more than a second the first stamp is
        wild for that reason, and the second one confirms it. The same message twice confirms nothing.
        """
        latest_ns, wild_ns, self._wild_ns = self._latest_ns, self._wild_ns, None
        if latest_ns is None or abs(stamp_ns - latest_ns) <= LEAP_NS:
            self._latest_ns = stamp_ns if latest_ns is None else max(stamp_ns, latest_ns)
            return Stamp.SOUND
        if wild_ns is not None and 0 < stamp_ns - wild_ns <= LEAP_NS:
            self._latest_ns = stamp_ns
            return Stamp.LEAPT
        self._wild_ns = stamp_ns
        return Stamp.WILD
