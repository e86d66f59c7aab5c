# SPDX-License-Identifier: Apache-2.0
"""One D'Claw as a plant whose servos, valve and delay are those of its task."""

from __future__ import annotations

from collections import deque

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_rl_core.families import dclaw_dynamics
from meta_rl_core.families.dclaw_dynamics import TASK_NAMES, check_dynamics
from meta_rl_core.families.dclaw_turn import RESET_POSE_RAD
from sim_bridge.batch_physics import FULL_PHYSICS
from sim_bridge.checks import checked_array
from sim_bridge.dclaw.dynamics import BodyBuilder
from sim_bridge.dclaw.plant import DClawPlant

Array = NDArray[np.float64]
_FIRST_TASK = np.array([0.0, 2.0, 0.0, 0.0, 3.0])
"""The body of `dclaw-turn`, until a task is posed."""


class DClawDynamicsPlant(DClawPlant):
    """As `DClawPlant`, with the body of `dclaw-turn-dynamics`; a command acts when its latency is over."""

    family = dclaw_dynamics.NAME
    task_names = TASK_NAMES

    def __init__(self) -> None:
        """Compiles both valves."""
        self._builder = BodyBuilder()
        self._delay = 0
        self._waiting: deque[tuple[int, Array]] = deque()
        super().__init__()
        self.set_task(_FIRST_TASK)

    def set_task(self, values: ArrayLike) -> None:
        """Gives the hand another body; joints and commands stay as they are.

        Args:
            values: Target [rad], servo gain [N m/rad], valve friction [N m], latency [s], prongs, shape (5,).

        Raises:
            InvalidValueError: If the shape is wrong or a quantity out of range; the old body stays.
            NonFiniteError: If a number is NaN or infinite; the old body stays.
        """
        task = checked_array("task", values, (len(TASK_NAMES),))
        check_dynamics(task[None])
        model, former = self._builder.build(task), self._data
        state = np.empty(mujoco.mj_stateSize(model, FULL_PHYSICS))
        mujoco.mj_getState(self._model, former, state, FULL_PHYSICS)
        data = mujoco.MjData(model)
        mujoco.mj_setState(model, data, state, FULL_PHYSICS)
        data.ctrl[:] = former.ctrl
        self._model, self._data, self._delay = model, data, self._builder.delay(task)
        soonest = self._substeps_done + self._delay
        self._waiting = deque((min(due, soonest), command) for due, command in self._waiting)
        super().set_task(task)

    def _command(self, command: Array) -> None:
        # As in DClawDynamicsWorlds: the solver starts cold with the period, not when the command begins to act.
        self._data.qacc_warmstart[:] = 0.0
        self._waiting.append((self._substeps_done + self._delay, command.copy()))

    def _advance(self, substeps: int) -> None:
        done, end = self._substeps_done, self._substeps_done + substeps
        while done < end:
            while self._waiting and self._waiting[0][0] <= done:
                self._data.ctrl[:] = self._waiting.popleft()[1]
            until = min([end, *(due for due, _ in self._waiting)])
            super()._advance(until - done)
            done = until

    def _start(self, world_seed: int) -> None:
        super()._start(world_seed)
        self._waiting.clear()
        self._data.ctrl[:] = RESET_POSE_RAD
