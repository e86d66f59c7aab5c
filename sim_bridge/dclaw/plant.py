# SPDX-License-Identifier: Apache-2.0
"""One D'Claw as a plant: the same model, start and physics steps as the worlds it was trained in."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families import dclaw_dynamics
from meta_rl_core.families.dclaw_turn import CLAW_JOINTS, PERIOD_S, RESET_POSE_RAD, DClawTurnReward
from sim_bridge.batch_physics import FULL_PHYSICS
from sim_bridge.checks import SimulationError
from sim_bridge.dclaw.model import JOINTS, load_model, start_state
from sim_bridge.plant import Plant

Array = NDArray[np.float64]


class DClawPlant(Plant):
    """A D'Claw over a valve in MuJoCo; stepping it never allocates."""

    family = "dclaw-turn"
    joint_names = JOINTS
    commanded_joints = CLAW_JOINTS
    task_names: tuple[str, ...] = DClawTurnReward.task_names
    period_s = PERIOD_S

    def __init__(self) -> None:
        """Compiles the model and starts the clock at zero."""
        self._model = load_model()
        self._data = mujoco.MjData(self._model)
        self.timestep_s = float(self._model.opt.timestep)
        super().__init__()

    @classmethod
    def of_family(cls, family: str) -> Plant:
        """With a body that the task decides where the family has such tasks."""
        if family != dclaw_dynamics.NAME:
            return cls()
        from sim_bridge.dclaw.dynamics_plant import DClawDynamicsPlant

        return DClawDynamicsPlant()

    def _measure(self) -> tuple[Array, Array]:
        return self._data.qpos.copy(), self._data.qvel.copy()

    def _command(self, command: Array) -> None:
        self._data.ctrl[:] = command
        # As in DClawWorlds: the solver starts cold, so that a step depends on state and command alone.
        self._data.qacc_warmstart[:] = 0.0

    def _advance(self, substeps: int) -> None:
        expected = self._data.time + substeps * self.timestep_s
        mujoco.mj_step(self._model, self._data, substeps)
        # MuJoCo resets a world that blows up, which sets its clock back.
        if abs(self._data.time - expected) > self.timestep_s / 2 or not np.isfinite(self._data.qpos).all():
            raise SimulationError("the physics became unstable; reset the plant before going on")

    def _start(self, world_seed: int) -> None:
        mujoco.mj_resetData(self._model, self._data)
        mujoco.mj_setState(self._model, self._data, start_state(world_seed), FULL_PHYSICS)
        self._command(RESET_POSE_RAD)
