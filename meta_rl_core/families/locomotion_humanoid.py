# SPDX-License-Identifier: Apache-2.0
"""A humanoid runs in a hidden direction, as in PEARL (arXiv 1903.08254)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families.distribution import DrawnTasks, angle_between
from meta_rl_core.families.drawing import TRAINING_SEED
from meta_rl_core.families.locomotion import LocomotionReward, Verdict, rate_speed

Array = NDArray[np.float64]

ACTION_DIM = 17
TRAINING_COUNT = 100
LARGEST_CONTROL = 0.4
"""Control that the action 1 stands for; its cost is that of the control."""
# 0.25 times the displacement over five physics steps, divided by the length of one (0.003 s).
_SPEED_WEIGHT = 0.25 * 5
_IMPACT_WEIGHT, _HIGHEST_IMPACT_COST = 0.5e-6, 10.0
_ALIVE_BONUS = 5.0


class HumanoidDirectionReward(LocomotionReward):
    """reward = 1.25 v . direction - 0.1 sum(control^2) - min(5e-7 contact load, 10) + 5.

    v is the mean velocity of the centre of mass over the step, control 0.4 times the action, and the contact
    load the sum of squares of the contact forces on all bodies.
    """

    name = "humanoid-dir"
    action_dim = ACTION_DIM
    signal_names = ("mass_centre_velocity_x_m_s", "mass_centre_velocity_y_m_s", "contact_load")
    task_names = ("direction_rad",)
    effort_weight = 0.1 * LARGEST_CONTROL**2

    def rate(self, signals: Array, effort: Array, tasks: Array) -> Verdict:
        """See the class."""
        direction = tasks[..., 0]
        speed = signals[..., 0] * np.cos(direction) + signals[..., 1] * np.sin(direction)
        impact = np.minimum(_IMPACT_WEIGHT * signals[..., 2], _HIGHEST_IMPACT_COST)
        cost = self.effort_weight * effort + impact
        return rate_speed(_SPEED_WEIGHT * speed - cost + _ALIVE_BONUS, speed)


def sample_directions(generator: np.random.Generator, count: int) -> Array:
    """Directions [rad], uniform on the circle, shape (count, 1)."""
    return generator.uniform(0.0, 2.0 * np.pi, size=(count, 1))


def direction_tasks() -> DrawnTasks:
    """100 directions to train on [rad], always the same (the reference does not seed its own), and fresh ones."""
    generator = np.random.Generator(np.random.PCG64(TRAINING_SEED))
    return DrawnTasks(sample_directions(generator, TRAINING_COUNT), sample_directions, distance=angle_between)
