# SPDX-License-Identifier: Apache-2.0
"""The same carriage as a plant, so that the ROS nodes can drive it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from examples.my_family.family import FAMILY, JOINTS, PERIOD_S, RailReward, start_position
from sim_bridge.plant import Plant

Array = NDArray[np.float64]
_SUBSTEPS = 40


class RailPlant(Plant):
    """A carriage that glides to its command within one period."""

    family = FAMILY
    joint_names = JOINTS
    commanded_joints = JOINTS
    task_names = RailReward.task_names
    timestep_s = PERIOD_S / _SUBSTEPS
    period_s = PERIOD_S

    def _measure(self) -> tuple[Array, Array]:
        return self._position.copy(), self._velocity.copy()

    def _command(self, command: Array) -> None:
        self._target, self._remaining = command.copy(), _SUBSTEPS
        self._velocity = (self._target - self._position) / PERIOD_S

    def _advance(self, substeps: int) -> None:
        if substeps >= self._remaining:
            # The target itself, not a sum of small steps: the bits of the worlds, which jump there.
            self._position, self._velocity, self._remaining = self._target.copy(), np.zeros(1), 0
            return
        self._position = self._position + (self._target - self._position) * (substeps / self._remaining)
        self._remaining -= substeps

    def _start(self, world_seed: int) -> None:
        self._position = start_position(world_seed)
        self._command(self._position)
