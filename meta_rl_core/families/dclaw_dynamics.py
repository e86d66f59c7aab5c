# SPDX-License-Identifier: Apache-2.0
"""D'Claw turns a valve to an angle it is told, with a body it is not told: tasks and reward.

Hidden are the stiffness of the servos, the dry friction of the valve, the delay of commands and the valve's shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.families.dclaw_turn import (
    HORIZON,
    PERIOD_S,
    VALVE_JOINT,
    DClawTurnReward,
    make_robot,
    sample_targets,
)
from meta_rl_core.families.distribution import DrawnTasks
from meta_rl_core.families.drawing import TRAINING_SEED
from meta_rl_core.families.rows import checked_rows
from meta_rl_core.runtime.robot_interface import RobotInterface
from meta_rl_core.runtime.terms import Term, TermKind
from meta_rl_core.tasks import FamilySpec, Judgement, RewardModel

Array = NDArray[np.float64]
Range: TypeAlias = tuple[float, float]

NAME = "dclaw-turn-dynamics"
TASK_NAMES = ("target_rad", "servo_gain_n_m_rad", "valve_friction_n_m", "latency_s", "prongs")
TRAINING_COUNT = 200
_LARGEST_GAIN_N_M_RAD = 50.0
_LARGEST_FRICTION_N_M = 2.0


@dataclass(frozen=True)
class DynamicsRanges:
    """Lowest and highest value of each hidden quantity; draws are uniform between them.

    Attributes:
        servo_gain_n_m_rad: Stiffness of the nine finger servos [N m/rad].
        valve_friction_n_m: Dry friction of the valve [N m].
        latency_s: Time from a measurement to the moment its command acts [s], shorter than a policy period.
        prongs: Fewest and most prongs of the valve, 3 or 4; every number between is as likely.
    """

    servo_gain_n_m_rad: Range = (1.0, 20.0)
    valve_friction_n_m: Range = (0.0, 0.3)
    latency_s: Range = (0.0, 0.08)
    prongs: Range = (3.0, 4.0)

    def __post_init__(self) -> None:
        """Checks order and limits.

        Raises:
            InvalidValueError: Naming the range, what was got and what is allowed.
        """
        for field in fields(self):
            low, high = (float(value) for value in getattr(self, field.name))
            least, most = LIMITS[field.name]
            if not least <= low <= high <= most:
                raise InvalidValueError(
                    f"{field.name} must be [lowest, highest] within [{least:g}, {most:g}], got [{low:g}, {high:g}]"
                )
            object.__setattr__(self, field.name, (low, high))
        if not all(value.is_integer() for value in self.prongs):
            raise InvalidValueError(f"prongs must be 3 or 4, got {list(self.prongs)}")

    def draw(self, generator: np.random.Generator, count: int) -> Array:
        """Fresh tasks in the order of `TASK_NAMES`, shape (count, 5); targets are uniform on the circle."""
        fewest, most = (int(value) for value in self.prongs)
        return np.column_stack(
            [
                sample_targets(count, generator),
                *(
                    generator.uniform(*bounds, size=count)
                    for bounds in (self.servo_gain_n_m_rad, self.valve_friction_n_m, self.latency_s)
                ),
                generator.integers(fewest, most + 1, size=count),
            ]
        )


LIMITS: dict[str, Range] = {
    "servo_gain_n_m_rad": (0.1, _LARGEST_GAIN_N_M_RAD),
    "valve_friction_n_m": (0.0, _LARGEST_FRICTION_N_M),
    "latency_s": (0.0, PERIOD_S),
    "prongs": (3.0, 4.0),
}
"""What the model can represent; ranges lie within."""


def check_dynamics(tasks: Array) -> None:
    """Checks the hidden quantities of tasks, shape (N, 5).

    Raises:
        InvalidValueError: Naming the first quantity out of range, what was got and what is allowed.
    """
    for column, name in enumerate(TASK_NAMES[1:], 1):
        low, high = LIMITS[name]
        wrong = (tasks[:, column] < low) | (tasks[:, column] > high)
        if name == "prongs":
            wrong |= tasks[:, column] != np.round(tasks[:, column])
        if wrong.any():
            allowed = "3 or 4" if name == "prongs" else f"within [{low:g}, {high:g}]"
            raise InvalidValueError(f"{name} must be {allowed}, got {tasks[wrong, column][0]:g}")


def make_goal_robot() -> RobotInterface:
    """The D'Claw of `dclaw-turn`, told its target: two more terms hold cosine and sine of target minus valve."""
    robot = make_robot()
    told = (Term("goal_cos", (VALVE_JOINT,)), Term("goal_sin", (VALVE_JOINT,)))
    return replace(robot, observation_terms=(*robot.observation_terms, *told))


def show_target(observation: Array, target_rad: Array) -> Array:
    """The observation, shape (..., 31), as it would be with another target [rad], shape (...)."""
    cosine, sine = (_column(kind) for kind in ("cos", "sin"))
    shown = np.array(observation, dtype=np.float64)
    valve_cosine, valve_sine = shown[..., cosine], shown[..., sine]
    shown[..., _column("goal_cos")] = np.cos(target_rad) * valve_cosine + np.sin(target_rad) * valve_sine
    shown[..., _column("goal_sin")] = np.sin(target_rad) * valve_cosine - np.cos(target_rad) * valve_sine
    return shown


@cache
def _column(kind: TermKind) -> int:
    """Where the one number of a term about the valve stands in the observation."""
    robot = make_goal_robot()
    ends = np.cumsum([term.dimension(robot.action_dim) for term in robot.observation_terms])
    return int(ends[[term.kind for term in robot.observation_terms].index(kind)]) - 1


class DClawDynamicsReward(RewardModel):
    """ROBEL's Turn reward; of the task the target alone plays a part, so a robot need not know the rest."""

    name = NAME
    signal_terms = DClawTurnReward.signal_terms
    signal_names = DClawTurnReward.signal_names
    task_names = TASK_NAMES
    goal_parameters: Mapping[str, str] = MappingProxyType({VALVE_JOINT: TASK_NAMES[0]})

    def __init__(self) -> None:
        """Judges as `dclaw-turn` does."""
        self._turn = DClawTurnReward()

    def judge(self, signals: Array, actions: Array, tasks: Array) -> Judgement:
        """As `DClawTurnReward.judge`, with tasks of shape (..., 5).

        Raises:
            InvalidValueError: If a last dimension is wrong.
        """
        tasks = checked_rows("tasks", tasks, len(TASK_NAMES))
        return self._turn.judge(signals, actions, tasks[..., :1])


def make_spec() -> FamilySpec:
    """The family's sizes and meaning."""
    robot = make_goal_robot()
    return FamilySpec(
        name=NAME,
        observation_dim=robot.observation_dim,
        action_dim=robot.action_dim,
        signal_names=DClawDynamicsReward.signal_names,
        task_names=TASK_NAMES,
        horizon=HORIZON,
        period_s=PERIOD_S,
        context_reward="dense",
        robot=robot,
        visible_task_names=TASK_NAMES[:1],
    )


def dynamics_tasks(ranges: DynamicsRanges) -> DrawnTasks:
    """200 bodies and targets to train on, always the same for the same ranges, and fresh ones."""
    training = ranges.draw(np.random.Generator(np.random.PCG64(TRAINING_SEED)), TRAINING_COUNT)
    return DrawnTasks(training, ranges.draw)
