# SPDX-License-Identifier: Apache-2.0
"""Half-cheetahs, as in Gymnasium and with the torso's position in the observation, as in PEARL."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim_bridge.batch_physics import Rows
from sim_bridge.locomotion.worlds import LocomotionWorlds

Array = NDArray[np.float64]


class CheetahWorlds(LocomotionWorlds):
    """N half-cheetahs on a plane; a policy step is 0.05 s.

    The observation holds the positions but the first (8), the velocities (9) and where the torso is: x, y, z
    [m] (3). The signal is the mean forward velocity of the root over the step.
    """

    model_file = "half_cheetah.xml"
    substeps = 5
    position_noise = 0.1
    velocity_noise = 0.1
    normal_velocity_noise = True

    def observe(self, rows: Rows) -> Array:
        """Shape (n, 20)."""
        position, velocity = self.physics.position[rows], self.physics.velocity[rows]
        torso = np.zeros((len(rows), 3))
        # Two sliders carry the torso, which starts at its place in the model; the cheetah never leaves y = 0.
        torso[:, 0] = position[:, 0]
        torso[:, 2] = position[:, 1] + self.model.body("torso").pos[2]
        return np.concatenate([position[:, 1:], velocity, torso], axis=1)

    def place_of(self, rows: Rows) -> Array:
        """Forward position of the root [m], shape (n, 1)."""
        return self.physics.position[rows, :1]
