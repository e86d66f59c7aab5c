# SPDX-License-Identifier: Apache-2.0
"""A half-cheetah runs at a hidden speed, or in a hidden direction, as in PEARL (arXiv 1903.08254)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families.distribution import DrawnTasks, FiniteTasks
from meta_rl_core.families.drawing import TRAINING_SEED
from meta_rl_core.families.locomotion import LocomotionReward, Verdict, rate_speed

Array = NDArray[np.float64]

ACTION_DIM = 6
FASTEST_M_S = 3.0
SOLVED_M_S = 0.1
TRAINING_COUNT = 100
LISTED_COUNT = 130
_EFFORT_WEIGHT = 0.05
_SIGNAL_NAMES = ("forward_velocity_m_s",)


class CheetahVelocityReward(LocomotionReward):
    """reward = -|v - target| - 0.05 sum(a^2), v being the mean velocity of the root over the step.

    The error is |v - target| [m/s]; a step below 0.1 m/s counts as solved.
    """

    name = "cheetah-vel"
    action_dim = ACTION_DIM
    signal_names = _SIGNAL_NAMES
    task_names = ("target_velocity_m_s",)
    effort_weight = _EFFORT_WEIGHT

    def rate(self, signals: Array, effort: Array, tasks: Array) -> Verdict:
        """See the class."""
        error = np.abs(signals[..., 0] - tasks[..., 0])
        return Verdict(-error - self.effort_weight * effort, error, np.asarray(error < SOLVED_M_S))


class CheetahDirectionReward(LocomotionReward):
    """reward = direction * v - 0.05 sum(a^2), v being the mean velocity of the root over the step."""

    name = "cheetah-dir"
    action_dim = ACTION_DIM
    signal_names = _SIGNAL_NAMES
    task_names = ("direction",)
    effort_weight = _EFFORT_WEIGHT

    def rate(self, signals: Array, effort: Array, tasks: Array) -> Verdict:
        """See the class."""
        speed = signals[..., 0] * tasks[..., 0]
        return rate_speed(speed - self.effort_weight * effort, speed)


def sample_velocities(generator: np.random.Generator, count: int) -> Array:
    """Target velocities [m/s], uniform between 0 and 3, shape (count, 1)."""
    return generator.uniform(0.0, FASTEST_M_S, size=(count, 1))


def velocity_tasks() -> DrawnTasks:
    """PEARL's 130 listed velocities [m/s]: 100 to train on, then 30 held out; then fresh ones."""
    # The reference draws with NumPy's legacy generator; the same numbers need the same one.
    listed = np.random.RandomState(TRAINING_SEED).uniform(0.0, FASTEST_M_S, size=(LISTED_COUNT, 1))
    return DrawnTasks(listed[:TRAINING_COUNT], sample_velocities, reserved=listed[TRAINING_COUNT:])


def direction_tasks() -> FiniteTasks:
    """Backward (-1) and forward (+1); there are no others, so both are trained on and evaluated on."""
    return FiniteTasks(np.array([[-1.0], [1.0]]))
