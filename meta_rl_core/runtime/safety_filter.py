# SPDX-License-Identifier: Apache-2.0
"""The last filter before a robot, and the same one in training and evaluation: finite, in range, not too fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError, JointMismatchError, NonFiniteError
from meta_rl_core.runtime.vectors import all_finite, all_within, between

if TYPE_CHECKING:
    from meta_rl_core.runtime.action import JointPositionAction
    from meta_rl_core.runtime.robot_description import RobotDescription

Array = NDArray[np.float64]
ROUNDING_RAD = 1e-9
"""Limits are written in decimals: a command beyond one by no more than this keeps to it."""
LEAST_SHARE = 0.1
"""Share of the allowed step at the start of a soft start: never nothing, or a held joint could not give way."""


@dataclass(frozen=True, eq=False)
class JointLimits:
    """Where and how fast joints may be commanded, any safety margin already taken off.

    Attributes:
        joints: Names of the A commanded joints.
        low_rad: Lowest command [rad], shape (A,).
        high_rad: Highest command [rad], shape (A,).
        speed_rad_s: Highest speed [rad/s], shape (A,); infinite where there is no limit.
        acceleration_rad_s2: Highest acceleration [rad/s^2], shape (A,), infinite where none is stated; or None.
    """

    joints: tuple[str, ...]
    low_rad: Array
    high_rad: Array
    speed_rad_s: Array
    acceleration_rad_s2: Array | None = None

    def __post_init__(self) -> None:
        """Copies, freezes and checks the vectors.

        Raises:
            InvalidValueError: If a length is not that of the joints, a range is empty or a speed not positive.
        """
        for name in ("low_rad", "high_rad", "speed_rad_s", "acceleration_rad_s2"):
            value = getattr(self, name)
            if value is None:
                continue
            vector = np.array(value, dtype=np.float64)
            if vector.shape != (len(self.joints),):
                raise InvalidValueError(
                    f"{name} must have one number per joint ({len(self.joints)}), got {vector.shape}"
                )
            vector.flags.writeable = False
            object.__setattr__(self, name, vector)
        if not (
            np.isfinite(self.low_rad) & np.isfinite(self.high_rad) & (self.low_rad < self.high_rad)
        ).all():
            raise InvalidValueError(
                f"limits must be finite, low below high, got {self.low_rad.tolist()} to {self.high_rad.tolist()}"
            )
        for limit in (self.speed_rad_s, self.acceleration_rad_s2):
            if limit is not None and not (limit > 0.0).all():
                raise InvalidValueError(f"speed and acceleration must be positive, got {limit.tolist()}")

    @classmethod
    def from_robot(cls, robot: RobotDescription, joints: Sequence[str]) -> JointLimits:
        """The limits of these joints, in this order, the robot's safety margin taken off.

        Raises:
            JointMismatchError: If the robot has no such joint to be commanded.
        """
        missing = [name for name in joints if name not in robot.joint_names]
        if missing:
            raise JointMismatchError(
                f"robot {robot.name} has no joints {', '.join(missing)} to be commanded; "
                f"it has {', '.join(robot.joint_names)}"
            )
        rows = [robot.joint_names.index(name) for name in joints]
        acceleration = robot.acceleration_rad_s2
        return cls(
            tuple(joints),
            robot.command_low_rad[rows],
            robot.command_high_rad[rows],
            robot.speed_rad_s[rows],
            None if acceleration is None else acceleration[rows],
        )

    @classmethod
    def from_action(cls, action: JointPositionAction, period_s: float) -> JointLimits:
        """A policy's own limits, where no robot is described: the filter then changes nothing it commands."""
        step = np.full(action.action_dim, np.inf) if action.max_step is None else action.max_step
        return cls(action.joints, action.low, action.high, step / period_s)


class Filtered(NamedTuple):
    """A command that keeps to the limits."""

    command: Array
    """Positions [rad], shape (..., A)."""
    limited: NDArray[np.bool_]
    """Where it differs from what was asked, shape (..., A)."""


class SafetyFilter:
    """Keeps commands within limits; holds no state, so that training, evaluation and gate can share it.

    A command within the limits comes out with the same bits. One that is not is cut: first to the allowed
    acceleration, then to the allowed positions, last to the allowed step from the measured position, so that a
    joint outside its range returns to it at the allowed speed.
    """

    def __init__(self, limits: JointLimits, period_s: float) -> None:
        """Prepares the steps.

        Args:
            limits: Positions, speeds and accelerations.
            period_s: Time from one command to the next [s].

        Raises:
            InvalidValueError: If the period is not positive.
        """
        if not 0.0 < period_s < np.inf:
            raise InvalidValueError(f"period_s must be positive and finite, got {period_s}")
        self.limits = limits
        self.period_s = period_s
        self._step = limits.speed_rad_s * period_s
        acceleration = limits.acceleration_rad_s2
        self._step_change = None if acceleration is None else acceleration * period_s**2
        self._none = np.zeros(len(limits.joints), dtype=np.bool_)
        self._none.flags.writeable = False

    def limit(
        self, command: Array, measured: Array, *, share: float = 1.0, former_step: Array | None = None
    ) -> Filtered:
        """The command, or the nearest one that keeps to the limits.

        Args:
            command: Wanted positions [rad], shape (..., A).
            measured: Present positions [rad], shape (..., A).
            share: Share of the allowed step that may be used, in (0, 1]; see `soft_start` and `authority`.
            former_step: Last command minus the position measured then [rad], shape (..., A), for the acceleration
                limit; None at rest.

        Raises:
            InvalidValueError: If a shape or the share is wrong.
            NonFiniteError: If a number is NaN or infinite: hold instead.
        """
        command, measured = self._checked("command", command), self._checked("measured position", measured)
        if not 0.0 < share <= 1.0:
            raise InvalidValueError(f"share must lie in (0, 1], got {share}")
        step = self._step if share == 1.0 else share * self._step
        low, high = self.limits.low_rad, self.limits.high_rad
        if self._step_change is not None:
            middle = measured if former_step is None else measured + self._checked("former step", former_step)
            low, high = (
                between(middle + change, low, high) for change in (-self._step_change, self._step_change)
            )
        # What is allowed is one interval: its ends are the limits, cut by those that count for more.
        lowest, highest = measured - step, measured + step
        low, high = between(low, lowest, highest), between(high, lowest, highest)
        least, most = low - ROUNDING_RAD, high + ROUNDING_RAD
        if command.shape == least.shape == self._none.shape and all_within(command, least, most):
            return Filtered(command, self._none)
        limited = (command < least) | (command > most)
        if not limited.any():
            return Filtered(command, limited)
        return Filtered(np.where(limited, between(command, low, high), command), limited)

    def hold(self, measured: Array) -> Array:
        """The command that holds a robot where it was measured, within the position limits, shape (..., A).

        Raises:
            InvalidValueError: If the shape is wrong.
            NonFiniteError: If a number is NaN or infinite.
        """
        return self.limit(measured, measured).command

    def _checked(self, what: str, values: Array) -> Array:
        numbers = np.asarray(values, dtype=np.float64)
        if numbers.ndim == 0 or numbers.shape[-1] != len(self.limits.joints):
            raise InvalidValueError(
                f"{what} must have {len(self.limits.joints)} numbers, one per joint, got {numbers.shape}"
            )
        if not all_finite(numbers):
            raise NonFiniteError(f"{what} must be finite, got {numbers.tolist()}")
        return numbers


def soft_start(elapsed_s: float, ramp_s: float) -> float:
    """Share of the allowed step after motion began: grows from 0.1 to 1 within `ramp_s`; 0 s is no ramp.

    Args:
        elapsed_s: Time since motion began or went on after a hold [s].
        ramp_s: Length of the ramp [s].
    """
    if elapsed_s >= ramp_s:
        return 1.0
    return LEAST_SHARE + (1.0 - LEAST_SHARE) * max(elapsed_s, 0.0) / ramp_s


def authority(std: Array, least: float) -> float:
    """Share of the allowed step that a policy may use: `least` under the prior, 1 once the task is known.

    Args:
        std: Standard deviations of the belief, 1 under the prior, shape (latent,).
        least: Share under the prior, in (0, 1]; 1 grants everything always.

    Raises:
        InvalidValueError: If `least` is out of range.
    """
    if not 0.0 < least <= 1.0:
        raise InvalidValueError(f"least must lie in (0, 1], got {least}")
    known = 1.0 - float(np.clip(np.mean(std), 0.0, 1.0))
    return least + (1.0 - least) * known
