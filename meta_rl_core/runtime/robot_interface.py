# SPDX-License-Identifier: Apache-2.0
"""All a robot must know to run a policy: what it observes, what an action means, how often."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.action import JointPositionAction
from meta_rl_core.runtime.fields import Fields
from meta_rl_core.runtime.terms import (
    Assembly,
    Term,
    goal_joints_of,
    joints_of,
    needs_velocity,
)
from meta_rl_core.runtime.vectors import Columns, columns_of

Array = NDArray[np.float64]
LONGEST_PERIOD_S = 10.0
LONGEST_HORIZON = 1_000_000


@dataclass(frozen=True)
class RobotInterface:
    """The contract between a policy and a robot, stored in the bundle.

    Attributes:
        observation_terms: What the observation is made of, in order.
        action: What an action means.
        period_s: Time between policy steps [s].
        horizon: Policy steps per episode.
    """

    observation_terms: tuple[Term, ...]
    action: JointPositionAction
    period_s: float
    horizon: int

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            InvalidValueError: If there is no term, or the period or horizon is out of range.
        """
        object.__setattr__(self, "observation_terms", tuple(self.observation_terms))
        if not self.observation_terms:
            raise InvalidValueError("a robot must observe something: observation_terms is empty")
        if not 0.0 < self.period_s <= LONGEST_PERIOD_S:
            raise InvalidValueError(f"period_s must lie in (0, {LONGEST_PERIOD_S:g}], got {self.period_s}")
        if not 1 <= self.horizon <= LONGEST_HORIZON:
            raise InvalidValueError(f"horizon must lie in [1, {LONGEST_HORIZON}], got {self.horizon}")

    @property
    def action_dim(self) -> int:
        """Number of commanded joints A."""
        return self.action.action_dim

    @cached_property
    def observation_dim(self) -> int:
        """Length O of the observation."""
        return sum(term.dimension(self.action_dim) for term in self.observation_terms)

    @cached_property
    def joint_names(self) -> tuple[str, ...]:
        """Every joint that must be measured, once: observed ones as mentioned, then other commanded ones."""
        return tuple(dict.fromkeys((*joints_of(self.observation_terms), *self.action.joints)))

    @cached_property
    def needs_velocity(self) -> bool:
        """Whether the observation reads joint velocities."""
        return needs_velocity(self.observation_terms)

    @cached_property
    def goal_joints(self) -> tuple[str, ...]:
        """Joints whose goal position the policy is told; empty where the task is hidden."""
        return goal_joints_of(self.observation_terms)

    def observe(
        self, position: Array, velocity: Array | None, last_action: Array, goal: Array | None = None
    ) -> Array:
        """The observation, shape (..., O).

        Args:
            position: Positions of `joint_names` [rad], shape (..., J).
            velocity: Velocities of `joint_names` [rad/s], shape (..., J), or None if not needed.
            last_action: Normalised action of the step before, shape (..., A); zeros at the first step.
            goal: Goal positions of `goal_joints` [rad], shape (..., G), or None where there are none.
        """
        return self._assembly(position, velocity, last_action, goal)

    def command(self, action: Array, position: Array) -> Array:
        """Command of `action.joints` [rad], shape (..., A), from positions of `joint_names` (..., J)."""
        return self.action.decode(action, np.asarray(position, dtype=np.float64)[..., self._commanded])

    def lessen(self, action: Array, position: Array, share: float) -> Array:
        """The action that goes `share` of the way on which `action` sends the joints, shape (..., A).

        The lessened action is what is acted on and learnt from; it asks for what any policy might have asked for. A
        joint outside its box goes back as fast as it may all the same.

        Args:
            action: Normalised action, shape (..., A).
            position: Positions of `joint_names` [rad], shape (..., J).
            share: In (0, 1]; 1 gives the action itself.
        """
        if share == 1.0:
            return action
        measured = np.asarray(position, dtype=np.float64)[..., self._commanded]
        way = self.action.decode(action, measured) - measured
        return self.action.encode(measured + share * way, measured)

    @cached_property
    def _assembly(self) -> Assembly:
        return Assembly(self.observation_terms, self.joint_names)

    @cached_property
    def _commanded(self) -> Columns:
        return columns_of([self.joint_names.index(joint) for joint in self.action.joints])

    def to_dict(self) -> dict[str, Any]:
        """The interface as a JSON object."""
        return {
            "observation_terms": [term.to_dict() for term in self.observation_terms],
            "action": self.action.to_dict(),
            "period_s": self.period_s,
            "horizon": self.horizon,
        }

    @classmethod
    def from_dict(cls, value: object, where: str = "robot") -> RobotInterface:
        """Reads what `to_dict` wrote; `where` names the object in messages.

        Raises:
            InvalidValueError: If a key is missing, unknown or out of range.
        """
        fields = Fields(value, where)
        interface = cls(
            observation_terms=tuple(Term.from_fields(item) for item in fields.items("observation_terms")),
            action=JointPositionAction.from_fields(fields.inner("action")),
            period_s=fields.number("period_s"),
            horizon=fields.integer("horizon", 1, LONGEST_HORIZON),
        )
        fields.finish()
        return interface
