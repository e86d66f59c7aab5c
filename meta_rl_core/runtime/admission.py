# SPDX-License-Identifier: Apache-2.0
"""Decides whether one transition may enter the belief, and says why not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.context import Transition

Array = NDArray[np.float64]
NANOSECONDS = 1_000_000_000


class Refusal(Enum):
    """Why a transition, or a message about one, did not count."""

    INCOMPLETE = "a part never came"
    NON_FINITE = "a number was NaN or infinite"
    NOT_AS_COMMANDED = "the robot was not sent what the policy chose"
    IRREGULAR = "it did not last one period"
    INTERVENTION = "a person or a safety stop interfered"
    DUPLICATE = "it was there already"
    STALE = "it came after its step was decided"
    OVERFLOW = "too many messages were waiting"


@dataclass(frozen=True, eq=False)
class StepRecord:
    """What the policy saw and chose at one step; the record after the last step only saw.

    Attributes:
        episode: Episode index, from 0.
        step: Step index within the episode, from 0.
        stamp_ns: Stamp of the joint state that was answered [ns].
        observation: Shape (O,).
        action: Normalised action, shape (A,); None in the record that closes an episode.
        command: Position command sent [rad], shape (A,); None in the record that closes an episode.
    """

    episode: int
    step: int
    stamp_ns: int
    observation: Array
    action: Array | None = None
    command: Array | None = None


class Admitted(NamedTuple):
    """A transition that counts."""

    episode: int
    step: int
    stamp_ns: int
    """Stamp of the state before the action [ns]."""
    transition: Transition


class Refused(NamedTuple):
    """A transition that does not count."""

    episode: int
    step: int
    reason: Refusal
    detail: str
    """One sentence with what was got and what is allowed."""
    stamp_ns: int = 0
    """Stamp of the state before the action [ns]; 0 if it never came."""


@dataclass(frozen=True)
class AdmissionRules:
    """What a transition must keep to.

    Attributes:
        period_s: Intended duration of a step [s]; None where steps have no duration.
        period_tolerance: Allowed departure from it, as a share of the period.
        command_tolerance_rad: Largest difference between the command chosen and the one executed [rad].
    """

    period_s: float | None
    period_tolerance: float = 0.5
    command_tolerance_rad: float = 1e-6

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            InvalidValueError: If a number is out of range.
        """
        if self.period_s is not None and not (0.0 < self.period_s < math.inf):
            raise InvalidValueError(f"period_s must be positive or None, got {self.period_s}")
        if not 0.0 <= self.period_tolerance < 1.0:
            raise InvalidValueError(f"period_tolerance must lie in [0, 1), got {self.period_tolerance}")
        if not 0.0 <= self.command_tolerance_rad < math.inf:
            raise InvalidValueError(
                f"command_tolerance_rad must not be negative, got {self.command_tolerance_rad}"
            )


def decide(
    rules: AdmissionRules,
    before: StepRecord,
    after: StepRecord,
    executed: Array,
    reward: float,
    touched: bool,
) -> Admitted | Refused:
    """Decides on a complete transition.

    Args:
        rules: What to keep to.
        before: State, action and command of the step.
        after: The next record of the same episode.
        executed: Command that reached the robot for `before`, shape (A,).
        reward: Raw context reward stamped with the state of `after`.
        touched: Whether a person or a safety stop interfered.
    """
    fault = _fault(rules, before, after, executed, reward, touched)
    if fault is not None:
        return Refused(before.episode, before.step, *fault, before.stamp_ns)
    action = np.asarray(before.action, dtype=np.float64)
    transition = Transition(before.observation, action, float(reward), after.observation)
    return Admitted(before.episode, before.step, before.stamp_ns, transition)


def _fault(
    rules: AdmissionRules,
    before: StepRecord,
    after: StepRecord,
    executed: Array,
    reward: float,
    touched: bool,
) -> tuple[Refusal, str] | None:
    if before.action is None or before.command is None:
        return Refusal.INCOMPLETE, "the step has a successor but no action and command"
    numbers: dict[str, Array | float] = {
        "observation": before.observation,
        "action": before.action,
        "command": before.command,
        "executed command": executed,
        "reward": reward,
        "next observation": after.observation,
    }
    for name, value in numbers.items():
        if not np.isfinite(value).all():
            return Refusal.NON_FINITE, f"{name} must be finite, got {np.asarray(value).tolist()}"
    if touched:
        return Refusal.INTERVENTION, "a person or a safety stop interfered during this step"
    return _command_fault(rules, before.command, executed) or _duration_fault(rules, before, after)


def _command_fault(rules: AdmissionRules, command: Array, executed: Array) -> tuple[Refusal, str] | None:
    chosen, sent = np.asarray(command, dtype=np.float64), np.asarray(executed, dtype=np.float64)
    if chosen.shape != sent.shape:
        return Refusal.NOT_AS_COMMANDED, f"{sent.size} joints were commanded, the policy chose {chosen.size}"
    difference = float(np.abs(chosen - sent).max(initial=0.0))
    if difference > rules.command_tolerance_rad:
        return (
            Refusal.NOT_AS_COMMANDED,
            f"the executed command differs from the chosen one by {difference:.3g} rad, "
            f"allowed {rules.command_tolerance_rad:g} rad",
        )
    return None


def _duration_fault(
    rules: AdmissionRules, before: StepRecord, after: StepRecord
) -> tuple[Refusal, str] | None:
    lasted_s = (after.stamp_ns - before.stamp_ns) / NANOSECONDS
    if lasted_s <= 0.0:
        return Refusal.IRREGULAR, f"the next state is stamped {lasted_s:g} s after this one, it must be later"
    if rules.period_s is None:
        return None
    if abs(lasted_s - rules.period_s) > rules.period_tolerance * rules.period_s:
        return (
            Refusal.IRREGULAR,
            f"the step lasted {lasted_s:g} s, allowed {rules.period_s:g} s "
            f"plus or minus {100 * rules.period_tolerance:g} %",
        )
    return None
