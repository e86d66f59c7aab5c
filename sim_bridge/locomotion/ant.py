# SPDX-License-Identifier: Apache-2.0
"""Ants, as in Gymnasium (motors of gear 150), with contact forces that are really computed."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families.locomotion import LocomotionReward
from sim_bridge.batch_physics import Rows
from sim_bridge.locomotion.worlds import LocomotionWorlds

Array = NDArray[np.float64]
_LOWEST_TORSO_M, _HIGHEST_TORSO_M = 0.2, 1.0


class _AntWorlds(LocomotionWorlds):
    """N ants on a plane; a policy step is 0.05 s."""

    model_file = "ant.xml"
    substeps = 5
    position_noise = 0.1
    velocity_noise = 0.1
    normal_velocity_noise = True

    def __init__(
        self, reward: LocomotionReward, observation_dim: int, count: int, threads: int | None = None
    ) -> None:
        """As every locomotion world."""
        super().__init__(reward, observation_dim, count, threads)
        # Torque and force on each body, the world's own row being zero; numbers within [-1, 1].
        self._contact = np.zeros((count, 6 * self.model.nbody))

    def measure(self, rows: Rows, control: Array) -> None:
        """Computes the contact forces that hold in the present state."""

        def read(index: int, data: mujoco.MjData) -> None:
            self._contact[rows[index]] = data.cfrc_ext.ravel()

        self.physics.read(control, rows, read)
        np.clip(self._contact, -1.0, 1.0, out=self._contact)

    def contact_load(self, rows: Rows) -> Array:
        """Sum of squares of the clipped contact forces, shape (n, 1)."""
        return np.square(self._contact[rows]).sum(axis=1, keepdims=True)

    def place_of(self, rows: Rows) -> Array:
        """Where the torso is in the plane [m], shape (n, 2)."""
        return self.physics.position[rows, :2]


class AntDirectionWorlds(_AntWorlds):
    """Ants whose observation leaves out where they are; an episode ends when the torso leaves 0.2 to 1.0 m.

    The observation holds height, attitude and joint positions (13) and velocities (14). The signals are the
    mean velocity of the torso over the step (2) and the contact load.
    """

    can_fall = True

    def observe(self, rows: Rows) -> Array:
        """Shape (n, 27)."""
        return np.concatenate([self.physics.position[rows, 2:], self.physics.velocity[rows]], axis=1)

    def signal(self, velocity_m_s: Array, rows: Rows) -> Array:
        """Shape (n, 3)."""
        return np.concatenate([velocity_m_s, self.contact_load(rows)], axis=1)

    def has_fallen(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether the torso is lower than 0.2 m or higher than 1.0 m."""
        height = self.physics.position[rows, 2]
        return np.asarray((height < _LOWEST_TORSO_M) | (height > _HIGHEST_TORSO_M))


class AntGoalWorlds(_AntWorlds):
    """Ants that see where they are and what touches them; episodes never end early.

    The observation holds all positions (15), velocities (14) and the clipped contact forces on the 14 bodies,
    the world included (84). The signals are the place of the torso (2) and the contact load.
    """

    def observe(self, rows: Rows) -> Array:
        """Shape (n, 113)."""
        return np.concatenate(
            [self.physics.position[rows], self.physics.velocity[rows], self._contact[rows]], axis=1
        )

    def signal(self, velocity_m_s: Array, rows: Rows) -> Array:
        """Shape (n, 3)."""
        del velocity_m_s
        return np.concatenate([self.place_of(rows), self.contact_load(rows)], axis=1)
