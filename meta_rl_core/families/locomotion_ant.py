# SPDX-License-Identifier: Apache-2.0
"""An ant runs forward or backward, or to a hidden goal, as in PEARL (arXiv 1903.08254)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families.distribution import DrawnTasks, FiniteTasks
from meta_rl_core.families.drawing import TRAINING_SEED
from meta_rl_core.families.locomotion import LocomotionReward, Verdict, rate_speed

Array = NDArray[np.float64]

ACTION_DIM = 8
GOAL_DISC_RADIUS_M = 3.0
GOAL_RADIUS_M = 0.25
"""A goal counts as reached where the torso, a ball of this radius, covers it."""
GOAL_TRAINING_COUNT = 150
_CONTACT_WEIGHT = 0.5e-3


class AntDirectionReward(LocomotionReward):
    """reward = v . direction - 0.5 sum(a^2) - 0.0005 contact load + 1, v being the torso's mean velocity.

    The contact load is the sum of squares of the contact forces on all bodies, each number clipped to [-1, 1].
    """

    name = "ant-dir"
    action_dim = ACTION_DIM
    signal_names = ("torso_velocity_x_m_s", "torso_velocity_y_m_s", "contact_load")
    task_names = ("direction_rad",)
    effort_weight = 0.5

    def rate(self, signals: Array, effort: Array, tasks: Array) -> Verdict:
        """See the class."""
        direction = tasks[..., 0]
        speed = signals[..., 0] * np.cos(direction) + signals[..., 1] * np.sin(direction)
        cost = self.effort_weight * effort + _CONTACT_WEIGHT * signals[..., 2]
        return rate_speed(speed - cost + 1.0, speed)


class AntGoalReward(LocomotionReward):
    """reward = -(|x - goal x| + |y - goal y|) - 0.1 sum(a^2) - 0.0005 contact load (as for `ant-dir`).

    The error is the straight distance of the torso to the goal [m]; below 0.25 m counts as solved.
    """

    name = "ant-goal"
    action_dim = ACTION_DIM
    signal_names = ("torso_x_m", "torso_y_m", "contact_load")
    task_names = ("goal_x_m", "goal_y_m")
    effort_weight = 0.1

    def rate(self, signals: Array, effort: Array, tasks: Array) -> Verdict:
        """See the class."""
        offset_x, offset_y = (signals[..., axis] - tasks[..., axis] for axis in (0, 1))
        distance = np.hypot(offset_x, offset_y)
        cost = self.effort_weight * effort + _CONTACT_WEIGHT * signals[..., 2]
        return Verdict(
            -np.abs(offset_x) - np.abs(offset_y) - cost, distance, np.asarray(distance < GOAL_RADIUS_M)
        )


def nearness(observation: Array, tasks: Array) -> Array:
    """What an ant earns in a step by resting where it is, contacts aside: -(|x - goal x| + |y - goal y|), shape (...).

    Its observation begins with the torso's place [m].
    """
    return -np.abs(observation[..., :2] - tasks).sum(axis=-1)


def sample_goals(generator: np.random.Generator, count: int) -> Array:
    """Goals uniform in a disc of radius 3 m around the start [m], shape (count, 2)."""
    angle = generator.uniform(0.0, 2.0 * np.pi, size=count)
    radius = GOAL_DISC_RADIUS_M * np.sqrt(generator.uniform(size=count))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


def goal_tasks() -> DrawnTasks:
    """150 goals to train on [m], always the same (the reference does not seed its own), and fresh ones."""
    generator = np.random.Generator(np.random.PCG64(TRAINING_SEED))
    return DrawnTasks(sample_goals(generator, GOAL_TRAINING_COUNT), sample_goals)


def direction_tasks() -> FiniteTasks:
    """Forward (0) and backward (pi) [rad]; there are no others, so both are trained on and evaluated on.

    The paper's Ant-Fwd-Back; the reference's configuration as shipped draws two random directions instead.
    """
    return FiniteTasks(np.array([[0.0], [np.pi]]))
