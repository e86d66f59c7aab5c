# SPDX-License-Identifier: Apache-2.0
"""Draws a D'Claw, its valve and the hidden target into an image."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim_bridge.batch_physics import FULL_PHYSICS
from sim_bridge.checks import SimulationError

Array = NDArray[np.float64]


class DClawCamera:
    """An off-screen camera; without a display set the environment variable MUJOCO_GL=egl first."""

    def __init__(self, model: mujoco.MjModel, width: int, height: int) -> None:
        """Opens a drawing context.

        Args:
            model: The compiled D'Claw model.
            width: Image width [pixels], at most 640.
            height: Image height [pixels], at most 480.

        Raises:
            SimulationError: If this machine offers no OpenGL context.
        """
        self._model = model
        self._data = mujoco.MjData(model)
        try:
            self._renderer = mujoco.Renderer(model, height, width)
        except Exception as error:  # MuJoCo passes on whatever its OpenGL binding raises
            raise SimulationError(
                f"no OpenGL context to draw with ({error}); "
                "set MUJOCO_GL=egl (no display) or MUJOCO_GL=glfw (display)"
            ) from error

    def draw(self, state: Array, target_rad: float) -> NDArray[np.uint8]:
        """The scene in a full physics state, the target marked by a green ball; shape (height, width, 3)."""
        mujoco.mj_setState(self._model, self._data, state, FULL_PHYSICS)
        self._data.mocap_quat[0] = [np.cos(target_rad / 2), 0.0, 0.0, np.sin(target_rad / 2)]
        mujoco.mj_forward(self._model, self._data)
        self._renderer.update_scene(self._data, "front")
        return np.array(self._renderer.render())

    def close(self) -> None:
        """Frees the drawing context."""
        self._renderer.close()
