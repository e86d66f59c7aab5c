# SPDX-License-Identifier: Apache-2.0
"""Assembles observations and signals from joint readings, matched by joint name and never by position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import BadReadingError, InvalidValueError, JointMismatchError
from meta_rl_core.runtime.fields import Fields
from meta_rl_core.runtime.vectors import Columns, all_finite, columns_of

Array = NDArray[np.float64]
TermKind = Literal["position", "velocity", "cos", "sin", "goal_cos", "goal_sin", "last_action"]
TERM_KINDS: tuple[str, ...] = get_args(TermKind)
GOAL_KINDS = ("goal_cos", "goal_sin")
_CACHED_NAME_TUPLES = 64


@dataclass(frozen=True)
class Term:
    """One block of an observation or of a reward model's signals.

    Attributes:
        kind: Joint position [rad], joint velocity [rad/s], cosine or sine of the joint position, cosine or sine of
            the way still to go (goal position minus joint position), or the normalised action of the step
            before (zeros at the first step).
        joints: Which joints, in this order; empty for `last_action`.
        scale: Factor on the values.
    """

    kind: TermKind
    joints: tuple[str, ...] = ()
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Checks kind, joints and scale.

        Raises:
            InvalidValueError: If kind, joints and scale do not make sense together.
        """
        if self.kind not in TERM_KINDS:
            raise InvalidValueError(
                f"a term's kind must be one of {', '.join(TERM_KINDS)}, got {self.kind!r}"
            )
        object.__setattr__(self, "joints", tuple(self.joints))
        if (self.kind == "last_action") != (not self.joints):
            raise InvalidValueError(f"a last_action term has no joints and every other has some, got {self}")
        if len(set(self.joints)) != len(self.joints):
            raise InvalidValueError(f"a term must not repeat a joint, got {self.joints}")
        if not np.isfinite(self.scale):
            raise InvalidValueError(f"a term's scale must be finite, got {self.scale}")

    def dimension(self, action_dim: int) -> int:
        """How many numbers the term contributes."""
        return action_dim if self.kind == "last_action" else len(self.joints)

    def to_dict(self) -> dict[str, Any]:
        """The term as a JSON object."""
        return {"kind": self.kind, "joints": list(self.joints), "scale": self.scale}

    @classmethod
    def from_fields(cls, fields: Fields) -> Term:
        """Reads what `to_dict` wrote.

        Raises:
            InvalidValueError: If a key is missing, unknown or out of range.
        """
        kind = cast(TermKind, fields.text("kind", TERM_KINDS))
        term = cls(kind, fields.names("joints"), fields.number("scale"))
        fields.finish()
        return term


def joints_of(terms: Sequence[Term]) -> tuple[str, ...]:
    """Every joint the terms read, each once, in order of first mention."""
    return tuple(dict.fromkeys(joint for term in terms for joint in term.joints))


def needs_velocity(terms: Sequence[Term]) -> bool:
    """Whether any term reads a joint velocity."""
    return any(term.kind == "velocity" for term in terms)


def goal_joints_of(terms: Sequence[Term]) -> tuple[str, ...]:
    """Every joint whose goal position the terms read, each once, in order of first mention."""
    return joints_of([term for term in terms if term.kind in GOAL_KINDS])


def assemble(
    terms: Sequence[Term],
    joint_names: Sequence[str],
    position: Array,
    velocity: Array | None,
    last_action: Array | None = None,
    goal: Array | None = None,
) -> Array:
    """Concatenates the terms, for one reading or for many at once.

    Args:
        terms: What to assemble, in order.
        joint_names: Names of the J joints in the order of `position`.
        position: Joint positions [rad], shape (..., J).
        velocity: Joint velocities [rad/s], shape (..., J); may be None if no term reads it.
        last_action: Normalised action of the step before, shape (..., A); may be None if no term reads it.
        goal: Goal positions [rad] of `goal_joints_of(terms)`, shape (..., G); may be None if no term reads it.

    Returns:
        Shape (..., D), float64, D being the sum of the terms' dimensions.

    Raises:
        JointMismatchError: If a term names a joint that is not in `joint_names`.
        BadReadingError: If a length does not fit or the velocity is needed and missing.
        InvalidValueError: If the last action or the goal is needed and missing, or the goal has another length.
    """
    return _assembly(tuple(terms), tuple(joint_names))(position, velocity, last_action, goal)


class Assembly:
    """Terms bound to joint names once, so that little is left to do at every policy step."""

    def __init__(self, terms: Sequence[Term], joint_names: Sequence[str]) -> None:
        """Finds the joints.

        Args:
            terms: What to assemble, in order.
            joint_names: Names of the J joints in the order of the positions to come.

        Raises:
            JointMismatchError: If a term names a joint that is not in `joint_names`.
        """
        missing = [joint for joint in joints_of(terms) if joint not in joint_names]
        if missing:
            raise JointMismatchError(
                f"the terms read joints {', '.join(missing)}; there are only {', '.join(joint_names)}"
            )
        names = list(joint_names)
        self._joint_count = len(names)
        self._goal_joints = goal_joints_of(terms)
        self._parts = [(term, columns_of([names.index(joint) for joint in term.joints])) for term in terms]

    def __call__(
        self,
        position: Array,
        velocity: Array | None,
        last_action: Array | None = None,
        goal: Array | None = None,
    ) -> Array:
        """The numbers of all terms side by side; arguments, result and errors as for `assemble`."""
        goals = _goals_by_joint(self._goal_joints, goal) if self._goal_joints else {}
        position = _checked("position", position, self._joint_count)
        if velocity is not None:
            velocity = _checked("velocity", velocity, self._joint_count)
        blocks = [_block(term, at, position, velocity, last_action, goals) for term, at in self._parts]
        return np.concatenate(blocks, axis=-1)


_assembly = lru_cache(maxsize=_CACHED_NAME_TUPLES)(Assembly)


def _block(
    term: Term,
    columns: Columns,
    position: Array,
    velocity: Array | None,
    last_action: Array | None,
    goals: dict[str, Array],
) -> Array:
    if term.kind == "last_action":
        if last_action is None:
            raise InvalidValueError("the terms read the last action: give one (zeros at the first step)")
        block = np.asarray(last_action, dtype=np.float64)
    elif term.kind == "velocity":
        if velocity is None:
            raise BadReadingError(
                f"the terms read velocities of {', '.join(term.joints)}, and the reading has none"
            )
        block = velocity[..., columns]
    else:
        block = position[..., columns]
        if term.kind in GOAL_KINDS:
            block = np.stack([goals[joint] for joint in term.joints], axis=-1) - block
        if term.kind != "position":
            block = np.cos(block) if term.kind in ("cos", "goal_cos") else np.sin(block)
    return block if term.scale == 1.0 else block * term.scale


def _goals_by_joint(joints: tuple[str, ...], goal: Array | None) -> dict[str, Array]:
    if goal is None or goal.ndim == 0 or goal.shape[-1] != len(joints):
        got = "none" if goal is None else f"shape {goal.shape}"
        raise InvalidValueError(
            f"the terms read goal positions of {', '.join(joints)}: give {len(joints)} number(s), got {got}"
        )
    return {joint: goal[..., index] for index, joint in enumerate(joints)}


def _checked(what: str, values: Array, count: int) -> Array:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] != count:
        raise BadReadingError(f"{what} must have {count} numbers, one per joint name, got {values.shape}")
    return values


@dataclass(frozen=True, eq=False)
class JointReading:
    """What a robot reported of its joints at one instant.

    Attributes:
        stamp_ns: Time stamp of the measurement [ns].
        names: Joint names, in whatever order the sender has them.
        position: Joint positions [rad], shape (J,).
        velocity: Joint velocities [rad/s], shape (J,), or None where the sender gives none.
    """

    stamp_ns: int
    names: tuple[str, ...]
    position: Array
    velocity: Array | None = None


class NameMap:
    """Brings readings into one required joint order, by name."""

    def __init__(self, required: Sequence[str], *, needs_velocity: bool = False) -> None:
        """Remembers the required order.

        Args:
            required: Joint names, each once.
            needs_velocity: Refuse readings without velocities instead of passing them on without.

        Raises:
            InvalidValueError: If a required name repeats or there is none.
        """
        self.required = tuple(required)
        if not self.required or len(set(self.required)) != len(self.required):
            raise InvalidValueError(
                f"required joint names must be distinct and at least one, got {self.required}"
            )
        self.needs_velocity = needs_velocity
        self._order_of: dict[tuple[str, ...], NDArray[np.intp]] = {}

    def arrange(self, reading: JointReading) -> JointReading:
        """The required joints in the required order; permuted input gives the same bits.

        Raises:
            JointMismatchError: If a required name is missing or any name repeats; extra names are ignored.
            BadReadingError: If lengths do not fit the names, or a required joint's number is NaN or infinite.
        """
        order = self._order(tuple(reading.names))
        position = self._pick("position", reading.position, reading.names, order)
        velocity = reading.velocity
        if velocity is not None:
            velocity = self._pick("velocity", velocity, reading.names, order)
        elif self.needs_velocity:
            raise BadReadingError(
                "the reading has no velocities, and they are needed; publish them with the positions"
            )
        return JointReading(reading.stamp_ns, self.required, position, velocity)

    def _order(self, names: tuple[str, ...]) -> NDArray[np.intp]:
        order = self._order_of.get(names)
        if order is not None:
            return order
        repeated = sorted({name for name in names if names.count(name) > 1})
        missing = [name for name in self.required if name not in names]
        if repeated or missing:
            raise JointMismatchError(
                f"joint names do not fit: missing {', '.join(missing) or 'none'}, "
                f"repeated {', '.join(repeated) or 'none'}. Got {', '.join(names) or 'no names'}; "
                f"needed, in any order: {', '.join(self.required)}"
            )
        order = np.array([names.index(name) for name in self.required], dtype=np.intp)
        # A sender that invents a new order each time must not fill the memory.
        if len(self._order_of) >= _CACHED_NAME_TUPLES:
            self._order_of.clear()
        self._order_of[names] = order
        return order

    def _pick(self, what: str, values: Array, names: Sequence[str], order: NDArray[np.intp]) -> Array:
        numbers = np.asarray(values, dtype=np.float64)
        if numbers.shape != (len(names),):
            raise BadReadingError(
                f"{what} must have {len(names)} numbers, one per joint name, got shape {numbers.shape}"
            )
        picked = numbers[order]
        if not all_finite(picked):
            bad = [
                f"{name}={value}"
                for name, value in zip(self.required, picked, strict=True)
                if not np.isfinite(value)
            ]
            raise BadReadingError(f"{what} must be finite, got {', '.join(bad)}")
        return picked
