# SPDX-License-Identifier: Apache-2.0
"""Walkers and hoppers whose compiled model is a different one in every world."""

from __future__ import annotations

from copy import copy
from typing import ClassVar

import mujoco
import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.families.locomotion import LocomotionReward
from meta_rl_core.families.locomotion_params import HOPPER, WALKER, Build
from sim_bridge.batch_physics import Rows
from sim_bridge.locomotion.worlds import LocomotionWorlds

Array = NDArray[np.float64]
_LARGEST_LOG = 3.0
_LARGEST_SEEN_VELOCITY = 10.0


class BuildMultiplier:
    """Multiplies masses, inertias, frictions and dampings of a compiled model."""

    def __init__(self, model: mujoco.MjModel, build: Build) -> None:
        """Remembers the model's own values of what `build` names; `model` is never changed."""
        self._build = build
        self._bodies = [model.body(name).id for name in build.bodies]
        self._geoms = [model.geom(name).id for name in build.geoms]
        self._dofs = [int(model.jnt_dofadr[model.joint(name).id]) for name in build.joints]
        self._mass = model.body_mass[self._bodies]
        self._inertia = model.body_inertia[self._bodies]
        self._friction = model.geom_friction[self._geoms]
        self._damping = model.dof_damping[self._dofs]
        self._scratch = mujoco.MjData(model)

    def apply(self, model: mujoco.MjModel, task: Array) -> None:
        """Gives a copy of the model the build of a task, shape (K,): logarithms of the multipliers."""
        mass, inertia, friction, damping = self._build.split(task)
        model.body_mass[self._bodies] = mass * self._mass
        model.body_inertia[self._bodies] = inertia * self._inertia
        model.geom_friction[self._geoms] = friction * self._friction
        model.dof_damping[self._dofs] = damping * self._damping
        # What the compiler derives from masses, such as how stiff constraints are, must follow.
        mujoco.mj_setConst(model, self._scratch)


class _RandomParamsWorlds(LocomotionWorlds):
    """N planar bodies, each of its own build; a policy step is 0.008 s (four physics steps).

    The observation holds the positions but the first, and the velocities clipped to [-10, 10]. The signal is
    the mean forward velocity of the root over the step.
    """

    build: ClassVar[Build]
    substeps = 4
    position_noise = 0.005
    velocity_noise = 0.005
    can_fall = True

    def __init__(
        self, reward: LocomotionReward, observation_dim: int, count: int, threads: int | None = None
    ) -> None:
        """As every locomotion world, with one model for each."""
        super().__init__(reward, observation_dim, count, threads)
        self.physics.models = [copy(self.model) for _ in range(count)]
        self._multiplier = BuildMultiplier(self.model, self.build)

    def take_tasks(self, tasks: Array) -> None:
        """Builds each world's body.

        Raises:
            InvalidValueError: If a multiplier lies outside [exp(-3), exp(3)]; no world changes.
        """
        if np.abs(tasks).max(initial=0.0) > _LARGEST_LOG:
            raise InvalidValueError(
                f"logarithms of multipliers must lie in [-3, 3], got {np.abs(tasks).max():.3g} as the largest"
            )
        for model, task in zip(self.physics.models, tasks, strict=True):
            self._multiplier.apply(model, task)

    def observe(self, rows: Rows) -> Array:
        """Shape (n, 2 nq - 1)."""
        velocity = np.clip(self.physics.velocity[rows], -_LARGEST_SEEN_VELOCITY, _LARGEST_SEEN_VELOCITY)
        return np.concatenate([self.physics.position[rows, 1:], velocity], axis=1)

    def place_of(self, rows: Rows) -> Array:
        """Forward position of the root [m], shape (n, 1)."""
        return self.physics.position[rows, :1]


class HopperParamsWorlds(_RandomParamsWorlds):
    """Hoppers; an episode ends at 0.7 m or below, tilted by 0.2 rad or more, or with any number at 100."""

    model_file = "hopper.xml"
    build = HOPPER

    def has_fallen(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether height, tilt or any other number of the state but the place left its range."""
        height, tilt = self.physics.position[rows, 1], self.physics.position[rows, 2]
        others = np.concatenate([self.physics.position[rows, 2:], self.physics.velocity[rows]], axis=1)
        wild = ~(np.abs(others) < 100.0).all(axis=1)
        return np.asarray(~(height > 0.7) | ~(np.abs(tilt) < 0.2) | wild)


class WalkerParamsWorlds(_RandomParamsWorlds):
    """Walkers; an episode ends outside 0.8 to 2 m or tilted by 1 rad or more."""

    model_file = "walker2d.xml"
    build = WALKER

    def has_fallen(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether height or tilt left its range."""
        height, tilt = self.physics.position[rows, 1], self.physics.position[rows, 2]
        return np.asarray(~((height > 0.8) & (height < 2.0)) | ~(np.abs(tilt) < 1.0))
