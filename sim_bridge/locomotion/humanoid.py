# SPDX-License-Identifier: Apache-2.0
"""Humanoids, as in Gymnasium, with contact forces that are really computed."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families.locomotion import LocomotionReward
from meta_rl_core.families.locomotion_humanoid import LARGEST_CONTROL
from sim_bridge.batch_physics import Rows
from sim_bridge.locomotion.worlds import LocomotionWorlds

Array = NDArray[np.float64]
_LOWEST_TORSO_M, _HIGHEST_TORSO_M = 1.0, 2.0
_TORSO = 1


class HumanoidWorlds(LocomotionWorlds):
    """N humanoids on a plane; a policy step is 0.015 s, an episode ends when the torso leaves 1 to 2 m.

    The observation holds height, attitude and joint positions (22), velocities (23), and of the 14 bodies, the
    world included, inertia about the centre of mass (140), velocity (84), then the forces of the motors on the
    joints (23) and the contact forces on the bodies (84). The signals are the mean velocity of the centre of
    mass over the step (2) and the sum of squares of the contact forces.
    """

    model_file = "humanoid.xml"
    substeps = 5
    position_noise = 0.01
    velocity_noise = 0.01
    can_fall = True
    action_scale = LARGEST_CONTROL

    def __init__(
        self, reward: LocomotionReward, observation_dim: int, count: int, threads: int | None = None
    ) -> None:
        """As every locomotion world."""
        super().__init__(reward, observation_dim, count, threads)
        bodies = self.model.nbody
        self._derived = np.zeros((count, 16 * bodies + self.model.nv + 6 * bodies))
        self._contact = self._derived[:, -6 * bodies :]
        self._mass_centre = np.zeros((count, 2))

    def measure(self, rows: Rows, control: Array) -> None:
        """Computes centre of mass, inertias, velocities and forces that hold in the present state."""

        def read(index: int, data: mujoco.MjData) -> None:
            row = rows[index]
            parts = (data.cinert, data.cvel, data.qfrc_actuator, data.cfrc_ext)
            self._derived[row] = np.concatenate([part.ravel() for part in parts])
            self._mass_centre[row] = data.subtree_com[_TORSO, :2]

        self.physics.read(control, rows, read)

    def observe(self, rows: Rows) -> Array:
        """Shape (n, 376)."""
        return np.concatenate(
            [self.physics.position[rows, 2:], self.physics.velocity[rows], self._derived[rows]], axis=1
        )

    def place_of(self, rows: Rows) -> Array:
        """Where the centre of mass is in the plane [m], shape (n, 2)."""
        return self._mass_centre[rows]

    def signal(self, velocity_m_s: Array, rows: Rows) -> Array:
        """Shape (n, 3)."""
        load = np.square(self._contact[rows]).sum(axis=1, keepdims=True)
        return np.concatenate([velocity_m_s, load], axis=1)

    def has_fallen(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether the torso is lower than 1 m or higher than 2 m."""
        height = self.physics.position[rows, 2]
        return np.asarray((height < _LOWEST_TORSO_M) | (height > _HIGHEST_TORSO_M))
