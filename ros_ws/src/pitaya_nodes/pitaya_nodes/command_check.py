# SPDX-License-Identifier: Apache-2.0
"""The rules a command must keep to before it may reach a robot. Pure, with stamps as the only time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import PitayaError
from meta_rl_core.runtime.action import JointPositionAction
from meta_rl_core.runtime.stamp_watch import LEAP_NS, Stamp, StampWatch
from meta_rl_core.runtime.terms import JointReading, NameMap
from meta_rl_core.runtime.vectors import all_within

Array = NDArray[np.float64]
NANOSECONDS = 1_000_000_000
_KEPT_STATES = 256
_ROUNDING_RAD = 1e-9


class Verdict(Enum):
    """Why a command was not forwarded, as counted on /diagnostics."""

    FORWARD = "forwarded"
    UNREADABLE = "wrong names, lengths or numbers"
    UNKNOWN_STATE = "answers a state that never came"
    BAD_STATE = "answers a state that cannot be read"
    STALE = "too old"
    OUT_OF_ORDER = "older than one already forwarded"
    OUT_OF_RANGE = "outside the joint limits"
    TOO_FAR = "too far from the measured position"


class Decision(NamedTuple):
    """What to do with a command."""

    verdict: Verdict
    position: Array | None
    """Position [rad] of each joint in the bundle's order; None unless forwarded."""
    reason: str
    """One sentence with what was got and what is allowed; empty if forwarded."""
    measured: Array | None = None
    """Measured position [rad] in the state that is answered, if it was forwarded."""


class CommandCheck:
    """Remembers measured positions by stamp and judges commands that answer them.

    Attributes:
        oldest_ns: How far a command's state may lie behind the latest one [ns].
    """

    def __init__(self, action: JointPositionAction, oldest_s: float, *, leaps: bool = False) -> None:
        """Takes the limits from the policy's action.

        Args:
            action: Joints, limits and step limit.
            oldest_s: How far a command's state may lie behind the latest one, in stamp time [s].
            leaps: Whether stamps may leap from one state to the next, as those of a plant in lock-step may.
        """
        self._leaps = leaps
        self._stamps = StampWatch()
        self.joints = action.joints
        self._sorted = sorted(action.joints)
        self._low, self._high = action.low - _ROUNDING_RAD, action.high + _ROUNDING_RAD
        self._max_step = None if action.max_step is None else action.max_step + _ROUNDING_RAD
        self._action = action
        self.oldest_ns = round(oldest_s * NANOSECONDS)
        self._names = NameMap(action.joints)
        self._measured: OrderedDict[int, Callable[[], JointReading]] = OrderedDict()
        self._latest_ns: int | None = None
        self._forwarded_ns = -1

    @property
    def latest_ns(self) -> int | None:
        """Stamp of the latest measured state [ns], or None before the first."""
        return self._latest_ns

    def measured(self, stamp_ns: int, read: Callable[[], JointReading]) -> bool:
        """Takes a joint state, unless its stamp is far from those before it and alone in that.

        Args:
            stamp_ns: Its stamp [ns]; a state that is shown again replaces the former one.
            read: Gives the state, joints in any order; called only if the state is needed.

        Returns:
            Whether the state was taken.
        """
        if not self._leaps and self._stamps.see(stamp_ns) is Stamp.WILD:
            return False
        if self._latest_ns is not None and self._latest_ns - stamp_ns > self.oldest_ns:
            # The plant's time went back: it was started anew, and stamps of before mean nothing now.
            self._measured.clear()
            self._latest_ns, self._forwarded_ns = None, -1
        self._measured[stamp_ns] = read
        if self._latest_ns is None or stamp_ns > self._latest_ns:
            self._latest_ns = stamp_ns
        if len(self._measured) > _KEPT_STATES:
            self._measured.popitem(last=False)
        return True

    def overtook(self, stamp_ns: int) -> bool:
        """Whether the state with this stamp [ns], which a command answers, may still come."""
        if self._latest_ns is None:
            return True
        ahead_ns = stamp_ns - self._latest_ns
        return ahead_ns > 0 and (self._leaps or ahead_ns <= LEAP_NS)

    def judge(self, command: JointReading) -> Decision:
        """Whether a command, its joints in any order, may go to the robot."""
        if command.names != self.joints and sorted(command.names) != self._sorted:
            return _no(
                Verdict.UNREADABLE,
                f"commanded joints {', '.join(command.names) or 'none'}; needed exactly, in any order: "
                f"{', '.join(self.joints)}",
            )
        try:
            position = self._names.arrange(command).position
        except PitayaError as error:
            return _no(Verdict.UNREADABLE, str(error))
        stamp_ns, latest_ns = command.stamp_ns, self._latest_ns
        read = self._measured.get(stamp_ns)
        if read is None or latest_ns is None:
            return _no(Verdict.UNKNOWN_STATE, f"no joint state is stamped {stamp_ns / NANOSECONDS:.6f} s")
        if latest_ns - stamp_ns > self.oldest_ns:
            age_s, limit_s = (latest_ns - stamp_ns) / NANOSECONDS, self.oldest_ns / NANOSECONDS
            return _no(Verdict.STALE, f"its state is {age_s:.3f} s behind the latest, allowed {limit_s:g} s")
        if stamp_ns < self._forwarded_ns:
            return _no(Verdict.OUT_OF_ORDER, "a command for a later state was forwarded already")
        try:
            measured = self._names.arrange(read()).position
        except PitayaError as error:
            return _no(Verdict.BAD_STATE, str(error))
        return self._within_limits(position, measured) or self._forward(stamp_ns, position, measured)

    def hold(self) -> tuple[int, Array] | None:
        """Stamp and position [rad] that hold the robot where it was last soundly measured, within its limits."""
        latest = self.latest_measured()
        if latest is None:
            return None
        return latest[0], np.clip(latest[1], self._action.low, self._action.high)

    def latest_measured(self) -> tuple[int, Array] | None:
        """Stamp and position [rad] of the newest state that can be read; from now on no older one is answered."""
        for stamp_ns in sorted(self._measured, reverse=True):
            try:
                measured = self._names.arrange(self._measured[stamp_ns]()).position
            except PitayaError:
                continue
            self._forwarded_ns = stamp_ns
            return stamp_ns, measured
        return None

    def _within_limits(self, position: Array, measured: Array) -> Decision | None:
        if not all_within(position, self._low, self._high):
            outside = (position < self._low) | (position > self._high)
            low, high = self._action.low, self._action.high
            return _no(Verdict.OUT_OF_RANGE, self._list(outside, position, low, high))
        if self._max_step is None:
            return None
        way = position - measured
        if not all_within(way, -self._max_step, self._max_step) and self._action.max_step is not None:
            far = np.abs(way) > self._max_step
            low, high = measured - self._action.max_step, measured + self._action.max_step
            return _no(Verdict.TOO_FAR, self._list(far, position, low, high))
        return None

    def _forward(self, stamp_ns: int, position: Array, measured: Array) -> Decision:
        self._forwarded_ns = stamp_ns
        return Decision(Verdict.FORWARD, position, "", measured)

    def _list(self, which: NDArray[np.bool_], position: Array, low: Array, high: Array) -> str:
        return ", ".join(
            f"{self.joints[i]}={position[i]:.4f} rad, allowed {low[i]:.4f} to {high[i]:.4f}"
            for i in np.flatnonzero(which)
        )


def _no(verdict: Verdict, reason: str) -> Decision:
    return Decision(verdict, None, reason)
