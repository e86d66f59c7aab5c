# SPDX-License-Identifier: Apache-2.0
"""A walker or hopper of hidden build runs forward, as in PEARL and ProMP (arXiv 1903.08254, 1810.06784).

A task multiplies masses, inertias, frictions and dampings of the body, each on its own. Parameters that are
zero in the model, such as the mass of the world, cannot be multiplied and are left out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families.distribution import DrawnTasks
from meta_rl_core.families.drawing import TRAINING_SEED
from meta_rl_core.families.locomotion import LocomotionReward, Verdict, rate_speed

Array = NDArray[np.float64]

TRAINING_COUNT = 40
LARGEST_EXPONENT = 3.0
BASE, DAMPING_BASE = 1.5, 1.3
"""Multipliers are 1.5^u, those of dampings 1.3^u, u uniform in [-3, 3]: 0.30 to 3.4, dampings 0.46 to 2.2."""
_ALIVE_BONUS = 1.0


class Build(NamedTuple):
    """What of a body varies, by the names in its model."""

    bodies: tuple[str, ...]
    """Bodies with mass; mass, then inertia about three axes."""
    geoms: tuple[str, ...]
    """Geoms with friction: sliding, spinning and rolling."""
    joints: tuple[str, ...]
    """Joints with damping."""

    @property
    def task_names(self) -> tuple[str, ...]:
        """Names of the task parameters: natural logarithms of the multipliers."""
        return (
            *(f"log_mass_{body}" for body in self.bodies),
            *(f"log_inertia_{axis}_{body}" for body in self.bodies for axis in "xyz"),
            *(f"log_friction_{kind}_{geom}" for geom in self.geoms for kind in ("slide", "spin", "roll")),
            *(f"log_damping_{joint}" for joint in self.joints),
        )

    @property
    def largest_log(self) -> Array:
        """Half width of each task parameter's range, shape (K,)."""
        others = 4 * len(self.bodies) + 3 * len(self.geoms)
        bases = np.repeat([BASE, DAMPING_BASE], [others, len(self.joints)])
        return np.asarray(LARGEST_EXPONENT * np.log(bases))

    def split(self, task: Array) -> tuple[Array, Array, Array, Array]:
        """Multipliers of masses (b,), inertias (b, 3), frictions (g, 3) and dampings (j,) of one task (K,)."""
        bodies, geoms = len(self.bodies), len(self.geoms)
        ends = np.cumsum([bodies, 3 * bodies, 3 * geoms])
        mass, inertia, friction, damping = np.split(np.exp(task), ends)
        return mass, inertia.reshape(-1, 3), friction.reshape(-1, 3), damping


_LEG = ("thigh", "leg", "foot")
_BOTH_LEGS = (*_LEG, *(f"{part}_left" for part in _LEG))
HOPPER = Build(
    bodies=("torso", *_LEG),
    geoms=("floor", "torso_geom", *(f"{part}_geom" for part in _LEG)),
    joints=tuple(f"{part}_joint" for part in _LEG),
)
WALKER = Build(
    bodies=("torso", *_BOTH_LEGS),
    geoms=("floor", "torso_geom", *(f"{part}_geom" for part in _BOTH_LEGS)),
    joints=tuple(f"{part}_joint" for part in _BOTH_LEGS),
)


class _ForwardReward(LocomotionReward):
    """reward = v + 1 - 0.001 sum(a^2), v being the mean forward velocity of the root over the step."""

    signal_names = ("forward_velocity_m_s",)
    effort_weight = 1e-3

    def rate(self, signals: Array, effort: Array, tasks: Array) -> Verdict:
        """See the class; the task plays no part."""
        del tasks
        speed = signals[..., 0]
        return rate_speed(speed + _ALIVE_BONUS - self.effort_weight * effort, speed)


class HopperParamsReward(_ForwardReward):
    """The hopper's reward: v + 1 - 0.001 sum(a^2)."""

    name = "hopper-params"
    action_dim = 3
    task_names = HOPPER.task_names


class WalkerParamsReward(_ForwardReward):
    """The walker's reward: v + 1 - 0.001 sum(a^2)."""

    name = "walker-params"
    action_dim = 6
    task_names = WALKER.task_names


def build_tasks(build: Build) -> DrawnTasks:
    """40 builds to train on, always the same (the reference does not seed its own), and fresh ones."""

    def sample(generator: np.random.Generator, count: int) -> Array:
        half = build.largest_log
        return generator.uniform(-half, half, size=(count, len(half)))

    return DrawnTasks(sample(np.random.Generator(np.random.PCG64(TRAINING_SEED)), TRAINING_COUNT), sample)
