# SPDX-License-Identifier: Apache-2.0
"""Decides in which mode a node is and what it may send: a pure function of time, what was seen, and state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any, NamedTuple

from meta_rl_core.errors import InvalidValueError

NANOSECONDS = 1_000_000_000


class Mode(IntEnum):
    """What a node is doing; the higher, the more severe, and the most severe one wins."""

    INACTIVE = 0
    READY = 1
    ACTIVE = 2
    HOLD = 3
    """Recovers by itself."""
    FAULT = 4
    """A person clears it, or deactivates the node."""
    STOPPED = 5
    """Emergency stop: a person clears it; deactivating does not."""


class Action(Enum):
    """What may be sent to the robot after this call."""

    SILENT = "nothing"
    FORWARD = "commands"
    HOLD = "the measured position, once"


class Sample(Enum):
    """A joint state, as far as supervision cares."""

    GOOD = "complete, finite, in order"
    BAD = "cannot be used"


class Flags(NamedTuple):
    """What was seen since the last call; a field left at its default was not looked at."""

    active: bool = True
    """Whether the node is activated."""
    moving: bool = False
    """Whether motion is wanted: an episode runs, or commands come."""
    sample: Sample | None = None
    """A joint state that came just now."""
    skipped: int | None = None
    """Deadlines missed before the one that was just kept."""
    limited: bool | None = None
    """Whether the command made just now had to be changed or refused to keep to the limits."""
    commanded: bool = False
    """Whether a sound command passed just now."""
    tracking_error_rad: float | None = None
    """Largest distance between the last command and what it led to [rad]."""
    non_finite: bool = False
    """Whether the policy gave no finite command."""
    hold: str = ""
    """A further reason to hold, for as long as it stands."""
    fault: str = ""
    """A further fault; latched."""
    stop: str = ""
    """An emergency stop; latched."""
    clear: bool = False
    """Whether a person clears fault and stop; what still stands is back at once."""


@dataclass(frozen=True)
class Limits:
    """When to hold and when to give up. A time of None is not watched.

    Attributes:
        state_age_s: Newest sound joint state older than this: HOLD [s].
        fault_age_s: Older than this: FAULT [s].
        command_age_s: No sound command for this long: HOLD [s].
        resume_samples: Sound joint states in a row that end a HOLD.
        bad_samples: Bad joint states in a row: HOLD.
        missed_deadlines: Deadlines missed in a row: HOLD.
        tracking_error_rad: A command followed worse than this [rad] ...
        tracking_s: ... for this long: FAULT [s].
        limited_window: FAULT if more than half of so many commands in a row were limited.
    """

    state_age_s: float | None = 0.05
    fault_age_s: float | None = 1.0
    command_age_s: float | None = None
    resume_samples: int = 10
    bad_samples: int = 3
    missed_deadlines: int = 3
    tracking_error_rad: float = 0.3
    tracking_s: float = 0.5
    limited_window: int = 20

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            InvalidValueError: If a number is out of range.
        """
        for name in ("state_age_s", "fault_age_s", "command_age_s", "tracking_error_rad", "tracking_s"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < math.inf:
                raise InvalidValueError(f"{name} must be positive and finite, got {value}")
        for name, least in (
            ("resume_samples", 0),
            ("bad_samples", 1),
            ("missed_deadlines", 1),
            ("limited_window", 1),
        ):
            if getattr(self, name) < least:
                raise InvalidValueError(f"{name} must be at least {least}, got {getattr(self, name)}")

    @classmethod
    def for_period(cls, period_s: float) -> Limits:
        """Limits of a policy with this period: 50 ms of state age, the rest in periods.

        No fault is called within 1 s, however short the period: holding must have had its chance.

        Raises:
            InvalidValueError: If the period is not positive.
        """
        if not 0.0 < period_s < math.inf:
            raise InvalidValueError(f"period_s must be positive and finite, got {period_s}")
        return cls(
            fault_age_s=max(1.0, 10.0 * period_s),
            tracking_s=5.0 * period_s,
            limited_window=max(1, round(2.0 / period_s)),
        )


class State(NamedTuple):
    """All that is remembered between two calls."""

    mode: Mode = Mode.INACTIVE
    reason: str = "not active"
    stop: str = ""
    fault: str = ""
    hold: str = ""
    good_ns: int | None = None
    """When the newest sound joint state came; before the first, when the node was activated."""
    command_ns: int | None = None
    far_since_ns: int | None = None
    good: int = 0
    bad: int = 0
    missed: int = 0
    limited: int = 0
    """One bit per command, the latest one lowest."""


class Outcome(NamedTuple):
    """What follows from one call."""

    state: State
    action: Action
    reason: str
    """One sentence: why this mode."""


def supervise(now_ns: int, flags: Flags, state: State, limits: Limits) -> Outcome:
    """The next state, what may be sent, and why.

    Args:
        now_ns: Any clock that does not jump [ns]; if it goes back, ages start anew.
        flags: What was seen since the last call.
        state: From the last call.
        limits: When to hold and when to give up.
    """
    seen = _count(now_ns, flags, state, limits)
    stop = flags.stop or ("" if flags.clear else seen.stop)
    fault = ("" if flags.clear else seen.fault) or _fault(now_ns, flags, seen, limits)
    cause = _cause(now_ns, flags, seen, limits)
    if cause:
        seen = seen._replace(good=0, missed=0)
    hold = cause or _still_holding(flags, seen, limits)
    mode, reason = _most_severe(flags, stop, fault, hold)
    if (mode, reason, stop, fault, hold) != seen[:5]:
        seen = seen._replace(mode=mode, reason=reason, stop=stop, fault=fault, hold=hold)
    return Outcome(seen, _action(state.mode, mode), reason)


def _count(now_ns: int, flags: Flags, state: State, limits: Limits) -> State:
    """Ages and counts, before anything is concluded from them."""
    if not flags.active:
        return State(mode=state.mode, stop=state.stop)
    good_ns, good, bad = state.good_ns, state.good, state.bad
    if flags.sample is Sample.GOOD or good_ns is None or now_ns < good_ns:
        good_ns = now_ns
    if flags.sample is Sample.GOOD:
        good, bad = good + 1, 0
    elif flags.sample is Sample.BAD:
        good, bad = 0, bad + 1
    if flags.clear or not flags.moving:
        state = state._replace(command_ns=None, far_since_ns=None, missed=0, limited=0)
    commands = _count_commands(now_ns, flags, state, limits)
    return state._replace(good_ns=good_ns, good=good, bad=bad, **commands)


def _count_commands(now_ns: int, flags: Flags, state: State, limits: Limits) -> dict[str, Any]:
    missed, limited, command_ns = state.missed, state.limited, state.command_ns
    if flags.skipped is not None:
        missed = missed + flags.skipped if flags.skipped else 0
    if flags.limited is not None:
        limited = (limited << 1 | flags.limited) & ((1 << limits.limited_window) - 1)
    if flags.commanded or command_ns is None or now_ns < command_ns:
        command_ns = now_ns
    far_since_ns = state.far_since_ns
    if flags.tracking_error_rad is not None:
        if flags.tracking_error_rad <= limits.tracking_error_rad:
            far_since_ns = None
        elif far_since_ns is None or now_ns < far_since_ns:
            far_since_ns = now_ns
    return {"missed": missed, "limited": limited, "command_ns": command_ns, "far_since_ns": far_since_ns}


def _fault(now_ns: int, flags: Flags, state: State, limits: Limits) -> str:
    """Why a person must look, or an empty text."""
    if not flags.active:
        return ""
    if flags.fault:
        return flags.fault
    if not flags.moving:
        return ""
    if _older(now_ns, state.good_ns, limits.fault_age_s):
        return f"no sound joint state for more than {limits.fault_age_s:g} s"
    if _older(now_ns, state.far_since_ns, limits.tracking_s):
        return (
            f"the robot does not follow: for more than {limits.tracking_s:g} s a joint was further than "
            f"{limits.tracking_error_rad:g} rad from its command"
        )
    if 2 * state.limited.bit_count() > limits.limited_window:
        return (
            f"the policy is outside its domain: more than half of the last {limits.limited_window} commands "
            "broke a limit"
        )
    return ""


def _cause(now_ns: int, flags: Flags, state: State, limits: Limits) -> str:
    """Why motion must be held just now, or an empty text."""
    if not flags.active:
        return ""
    if flags.hold:
        return flags.hold
    if not flags.moving:
        return ""
    if flags.non_finite:
        return "the policy gave no finite command"
    if _older(now_ns, state.good_ns, limits.state_age_s):
        return f"the newest sound joint state is older than {1e3 * (limits.state_age_s or 0.0):g} ms"
    if state.bad >= limits.bad_samples:
        return f"{limits.bad_samples} joint states in a row could not be used"
    if state.missed >= limits.missed_deadlines:
        return f"{limits.missed_deadlines} deadlines in a row were missed"
    if _older(now_ns, state.command_ns, limits.command_age_s):
        return f"no sound command for more than {limits.command_age_s:g} s"
    return ""


def _still_holding(flags: Flags, state: State, limits: Limits) -> str:
    """The reason that goes on until enough sound joint states came in a row."""
    if flags.active and flags.moving and state.good < limits.resume_samples:
        return state.hold
    return ""


def _older(now_ns: int, since_ns: int | None, limit_s: float | None) -> bool:
    if since_ns is None or limit_s is None:
        return False
    return now_ns - since_ns > round(limit_s * NANOSECONDS)


def _most_severe(flags: Flags, stop: str, fault: str, hold: str) -> tuple[Mode, str]:
    if stop:
        return Mode.STOPPED, stop
    if not flags.active:
        return Mode.INACTIVE, "not active"
    if fault:
        return Mode.FAULT, fault
    if hold:
        return Mode.HOLD, hold
    return (Mode.ACTIVE, "motion is permitted") if flags.moving else (Mode.READY, "nothing moves")


def _action(before: Mode, now: Mode) -> Action:
    """A hold is commanded once, where it begins: measured anew each time, a robot would creep."""
    if now is Mode.ACTIVE:
        return Action.FORWARD
    if now is Mode.STOPPED and before is not Mode.STOPPED:
        return Action.HOLD
    return Action.HOLD if before is Mode.ACTIVE and now > Mode.ACTIVE else Action.SILENT
