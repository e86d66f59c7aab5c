# SPDX-License-Identifier: Apache-2.0
"""Turns normalised actions in [-1, 1] into joint position commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError, NonFiniteError
from meta_rl_core.runtime.fields import Fields
from meta_rl_core.runtime.vectors import all_finite, between

Array = NDArray[np.float64]
ActionMode = Literal["absolute", "displacement"]
ACTION_MODES: tuple[str, ...] = get_args(ActionMode)


@dataclass(frozen=True, eq=False)
class JointPositionAction:
    """Joint position commands from actions, clipped to a box and to a step from the measured position.

    Attributes:
        joints: Names of the A commanded joints.
        center: Command of a zero action [rad], shape (A,); unused in mode `displacement`.
        half_range: Command change of a full action [rad], shape (A,).
        low: Lowest command [rad], shape (A,).
        high: Highest command [rad], shape (A,).
        max_step: Largest distance from the measured position [rad per period], shape (A,), or None.
        mode: `absolute`: center + half_range * action; `displacement`: measured + half_range * action.
    """

    joints: tuple[str, ...]
    center: Array
    half_range: Array
    low: Array
    high: Array
    max_step: Array | None = None
    mode: ActionMode = "absolute"

    def __post_init__(self) -> None:
        """Copies, freezes and checks the vectors.

        Raises:
            InvalidValueError: If joints repeat, a length differs from theirs, or a range is empty.
            NonFiniteError: If a number is NaN or infinite.
        """
        object.__setattr__(self, "joints", tuple(self.joints))
        if not self.joints or len(set(self.joints)) != len(self.joints):
            raise InvalidValueError(f"action joints must be distinct and at least one, got {self.joints}")
        if self.mode not in ACTION_MODES:
            raise InvalidValueError(
                f"action mode must be one of {', '.join(ACTION_MODES)}, got {self.mode!r}"
            )
        for name in ("center", "half_range", "low", "high", "max_step"):
            self._freeze(name)
        if (self.half_range <= 0.0).any() or (self.low >= self.high).any():
            raise InvalidValueError(
                f"half_range must be positive and low below high, got half_range {self.half_range.tolist()}, "
                f"low {self.low.tolist()}, high {self.high.tolist()}"
            )
        if self.max_step is not None and (self.max_step <= 0.0).any():
            raise InvalidValueError(f"max_step must be positive, got {self.max_step.tolist()}")

    def _freeze(self, name: str) -> None:
        value = getattr(self, name)
        if value is None and name == "max_step":
            return
        vector = np.array(value, dtype=np.float64)
        if vector.shape != (len(self.joints),):
            raise InvalidValueError(
                f"{name} must have one number per joint ({len(self.joints)}), got {vector.shape}"
            )
        if not np.isfinite(vector).all():
            raise NonFiniteError(f"{name} must be finite, got {vector.tolist()}")
        vector.flags.writeable = False
        object.__setattr__(self, name, vector)

    @property
    def action_dim(self) -> int:
        """Number of commanded joints."""
        return len(self.joints)

    def decode(self, action: Array, measured_position: Array) -> Array:
        """Position command of an action, for one robot or for many at once.

        The step limit comes last: a joint outside its box returns to it at the allowed speed.

        Args:
            action: Normalised action, shape (..., A); clipped to [-1, 1].
            measured_position: Present positions of `joints` [rad], shape (..., A).

        Returns:
            Command [rad], shape (..., A).

        Raises:
            InvalidValueError: If a length differs from the number of joints.
            NonFiniteError: If an action or position is NaN or infinite.
        """
        action = self._checked("action", action)
        measured = self._checked("measured position", measured_position)
        origin = measured if self.mode == "displacement" else self.center
        command = between(origin + self.half_range * between(action, -1.0, 1.0), self.low, self.high)
        if self.max_step is None:
            return command
        return between(command, measured - self.max_step, measured + self.max_step)

    def encode(self, command: Array, measured_position: Array) -> Array:
        """The action, clipped to [-1, 1], that asks for a command, shape (..., A).

        Args:
            command: Position command of `joints` [rad], shape (..., A).
            measured_position: Present positions of `joints` [rad], shape (..., A).

        Raises:
            InvalidValueError: If a length differs from the number of joints.
            NonFiniteError: If a command or position is NaN or infinite.
        """
        wanted, measured = (
            self._checked("command", command),
            self._checked("measured position", measured_position),
        )
        origin = measured if self.mode == "displacement" else self.center
        return between((wanted - origin) / self.half_range, -1.0, 1.0)

    def _checked(self, what: str, values: Array) -> Array:
        numbers = np.asarray(values, dtype=np.float64)
        if numbers.ndim == 0 or numbers.shape[-1] != len(self.joints):
            raise InvalidValueError(
                f"{what} must have {len(self.joints)} numbers, one per joint, got {numbers.shape}"
            )
        if not all_finite(numbers):
            raise NonFiniteError(f"{what} must be finite, got {numbers.tolist()}")
        return numbers

    def to_dict(self) -> dict[str, Any]:
        """The action as a JSON object."""
        return {
            "joints": list(self.joints),
            "center": self.center.tolist(),
            "half_range": self.half_range.tolist(),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "max_step": None if self.max_step is None else self.max_step.tolist(),
            "mode": self.mode,
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> JointPositionAction:
        """Reads what `to_dict` wrote.

        Raises:
            InvalidValueError: If a key is missing, unknown or out of range.
        """
        max_step = None if fields.raw("max_step") is None else np.array(fields.numbers("max_step"))
        action = cls(
            joints=fields.names("joints"),
            center=np.array(fields.numbers("center")),
            half_range=np.array(fields.numbers("half_range")),
            low=np.array(fields.numbers("low")),
            high=np.array(fields.numbers("high")),
            max_step=max_step,
            mode=cast(ActionMode, fields.text("mode", ACTION_MODES)),
        )
        fields.finish()
        return action

    def __eq__(self, other: object) -> bool:
        """Equal when every number and name is."""
        return isinstance(other, JointPositionAction) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        """Consistent with equality."""
        return hash((self.joints, self.mode, tuple(self.center), tuple(self.half_range)))
