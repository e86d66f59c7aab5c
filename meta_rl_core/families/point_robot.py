# SPDX-License-Identifier: Apache-2.0
"""A point in the plane seeks a hidden goal: PEARL's two fast benchmark families (arXiv 1903.08254)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families.distribution import DrawnTasks
from meta_rl_core.families.drawing import TRAINING_SEED
from meta_rl_core.families.rows import checked_rows
from meta_rl_core.runtime.action import JointPositionAction
from meta_rl_core.runtime.robot_interface import RobotInterface
from meta_rl_core.runtime.terms import Term
from meta_rl_core.tasks import FamilySpec, Judgement, RewardModel

Array = NDArray[np.float64]

POINT_JOINTS = ("point_x", "point_y")
PERIOD_S = 0.1
HORIZON = 20
STEP_M = 0.1
GOAL_RADIUS_M = 0.2
LISTED_COUNT = 100
TRAINING_COUNT = 80
# No episode gets this far: one starts within 1 m of the origin on each axis and moves at most 2 m.
_FENCE_M = 10.0


def make_robot() -> RobotInterface:
    """Two position axes, measured in metres, each moved by up to 0.1 m per step."""
    action = JointPositionAction(
        joints=POINT_JOINTS,
        center=np.zeros(2),
        half_range=np.full(2, STEP_M),
        low=np.full(2, -_FENCE_M),
        high=np.full(2, _FENCE_M),
        mode="displacement",
    )
    terms = (Term("position", POINT_JOINTS),)
    return RobotInterface(observation_terms=terms, action=action, period_s=PERIOD_S, horizon=HORIZON)


class PointRobotReward(RewardModel):
    """Minus the distance to the goal; in the sparse form 1 - distance within 0.2 m of it and 0 elsewhere."""

    name = "point-robot"
    signal_terms = (Term("position", POINT_JOINTS),)
    signal_names = ("point_x_position_m", "point_y_position_m")
    task_names = ("goal_x_m", "goal_y_m")

    def judge(self, signals: Array, actions: Array, tasks: Array) -> Judgement:
        """Judges steps row by row; leading shapes of signals and tasks broadcast, the action plays no part.

        Args:
            signals: Position after the action [m], shape (..., 2).
            actions: Shape (..., 2).
            tasks: Goal [m], shape (..., 2).

        Returns:
            Rewards; error is the distance [m], success a distance of at most 0.2 m.

        Raises:
            InvalidValueError: If a last dimension is wrong.
        """
        signals, tasks = checked_rows("signals", signals, 2), checked_rows("tasks", tasks, 2)
        distance = np.hypot(signals[..., 0] - tasks[..., 0], signals[..., 1] - tasks[..., 1])
        success = distance <= GOAL_RADIUS_M
        return Judgement(-distance, np.where(success, 1.0 - distance, 0.0), distance, success)


def make_spec(name: str, *, sparse: bool) -> FamilySpec:
    """The family's sizes and meaning; `sparse` decides which reward the encoder sees."""
    robot = make_robot()
    return FamilySpec(
        name=name,
        observation_dim=robot.observation_dim,
        action_dim=robot.action_dim,
        signal_names=PointRobotReward.signal_names,
        task_names=PointRobotReward.task_names,
        horizon=HORIZON,
        period_s=PERIOD_S,
        context_reward="sparse" if sparse else "dense",
        robot=robot,
    )


def sample_square_goals(count: int, generator: np.random.Generator) -> Array:
    """Goals uniform in the square from -1 to 1 [m], shape (count, 2)."""
    return generator.uniform(-1.0, 1.0, size=(count, 2))


def sample_half_circle_goals(count: int, generator: np.random.Generator) -> Array:
    """Goals uniform on the upper half of the unit circle [m], shape (count, 2)."""
    return _on_circle(generator.uniform(0.0, np.pi, size=count))


def listed_square_goals() -> Array:
    """PEARL's 100 goals in the square [m], shape (100, 2): 80 to train on, then 20 held out."""
    # The reference draws with NumPy's legacy generator; the same numbers need the same one.
    return np.random.RandomState(TRAINING_SEED).uniform(-1.0, 1.0, size=(LISTED_COUNT, 2))


def listed_half_circle_goals() -> Array:
    """PEARL's 100 shuffled half-circle goals [m], shape (100, 2): 80 to train on, then 20 held out."""
    goals = _on_circle(np.linspace(0.0, np.pi, LISTED_COUNT, dtype=np.float64))
    np.random.RandomState(TRAINING_SEED).shuffle(goals)
    return goals


def heldout_square_goals(count: int, seed: int) -> Array:
    """The 20 listed held-out goals in an order the seed decides, then fresh ones [m], shape (count, 2).

    None lies within a millimetre of a training goal.

    Raises:
        InvalidValueError: If count or seed is negative.
    """
    return _heldout(count, seed, listed_square_goals(), sample_square_goals)


def heldout_half_circle_goals(count: int, seed: int) -> Array:
    """As `heldout_square_goals`, on the half circle.

    Raises:
        InvalidValueError: If count or seed is negative.
    """
    return _heldout(count, seed, listed_half_circle_goals(), sample_half_circle_goals)


def _heldout(
    count: int, seed: int, listed: Array, sample: Callable[[int, np.random.Generator], Array]
) -> Array:
    tasks = DrawnTasks(
        listed[:TRAINING_COUNT],
        lambda generator, drawn: sample(drawn, generator),
        reserved=listed[TRAINING_COUNT:],
        distance=_straight_distance,
    )
    return tasks.heldout(count, seed)


def _straight_distance(one: Array, other: Array) -> Array:
    return np.asarray(np.linalg.norm(one - other, axis=-1))


def _on_circle(angle_rad: Array) -> Array:
    return np.stack([np.cos(angle_rad), np.sin(angle_rad)], axis=-1)
