# SPDX-License-Identifier: Apache-2.0
"""One point in the plane as a plant: the smallest thing the nodes can drive."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families.point_robot import PERIOD_S, POINT_JOINTS, PointRobotReward
from sim_bridge.plant import Plant
from sim_bridge.point.families import START_HALF_RANGE_M
from sim_bridge.point.worlds import start_position

Array = NDArray[np.float64]
_SUBSTEPS = 40


class PointPlant(Plant):
    """A point that glides to its command within one period, starting anywhere in the square."""

    family = "point-robot"
    joint_names = POINT_JOINTS
    commanded_joints = POINT_JOINTS
    task_names = PointRobotReward.task_names
    timestep_s = PERIOD_S / _SUBSTEPS
    period_s = PERIOD_S
    start_half_range_m = START_HALF_RANGE_M

    def _measure(self) -> tuple[Array, Array]:
        return self._position.copy(), self._velocity.copy()

    def _command(self, command: Array) -> None:
        self._target = command.copy()
        self._remaining = _SUBSTEPS
        self._velocity = (self._target - self._position) / PERIOD_S

    def _advance(self, substeps: int) -> None:
        if substeps >= self._remaining:
            # Taking the target itself gives the bits of the worlds, which jump there.
            self._position, self._velocity, self._remaining = self._target.copy(), np.zeros(2), 0
            return
        self._position = self._position + (self._target - self._position) * (substeps / self._remaining)
        self._remaining -= substeps

    def _start(self, world_seed: int) -> None:
        self._position = start_position(world_seed, self.start_half_range_m)
        self._command(self._position)


class SparsePointPlant(PointPlant):
    """The same point, starting at the origin."""

    family = "sparse-point-robot"
    start_half_range_m = 0.0
