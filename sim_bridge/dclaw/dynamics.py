# SPDX-License-Identifier: Apache-2.0
"""D'Claws whose servos, valve and delay differ from world to world."""

from __future__ import annotations

from copy import copy
from importlib.resources import files

import mujoco
import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families.dclaw_dynamics import check_dynamics, make_goal_robot
from meta_rl_core.families.dclaw_turn import RESET_POSE_RAD, VALVE_JOINT
from sim_bridge.checks import SimulationError, checked_array
from sim_bridge.dclaw.drawing import DClawCamera
from sim_bridge.dclaw.model import load_model
from sim_bridge.dclaw.worlds import DClawWorlds

Array = NDArray[np.float64]

STALL_TORQUE_N_M = 3.0
"""What an XM430-W210 gives at 12 V at most; a stiff servo far from its goal must not push harder than the real one."""
_FRICTION_HARDNESS = 0.99
"""MuJoCo's own 0.9 lets a valve creep at 0.1 rad/s under nine tenths of its friction; this at a tenth of that."""
_LONG_PRONG_M = (0.021, 0.074, 0.0)
_TARGET, _GAIN, _FRICTION, _LATENCY, _PRONGS = range(5)


def load_four_pronged() -> mujoco.MjModel:
    """The D'Claw over a valve of two crossing bars; as many geoms as the other, so that both run in one batch.

    Raises:
        SimulationError: If both models do not have the same sizes.
    """
    spec = mujoco.MjSpec.from_string(
        files("sim_bridge").joinpath("models/dclaw.xml").read_text(encoding="utf-8")
    )
    for name, axis in (("prong0", [1.0, 0.0, 0.0]), ("prong1", [0.0, 1.0, 0.0])):
        bar = spec.geom(name)
        bar.pos, bar.size = [0.0, 0.0, 0.054], list(_LONG_PRONG_M)
        bar.alt.type, bar.alt.zaxis = mujoco.mjtOrientation.mjORIENTATION_ZAXIS, axis
    # The third capsule shrinks to a weightless pill inside the hub, where nothing can touch it.
    unused = spec.geom("prong2")
    unused.pos, unused.size, unused.density = [0.0, 0.0, 0.027], [0.005, 0.005, 0.0], 0.0
    model = spec.compile()
    three = load_model()
    sizes = (
        "nq",
        "nv",
        "nu",
        "nbody",
        "njnt",
        "ngeom",
        "nsite",
        "nbvh",
        "nM",
        "nconmax",
        "narena",
        "nbuffer",
    )
    differing = [name for name in sizes if getattr(model, name, 0) != getattr(three, name, 0)]
    if differing:
        raise SimulationError(f"both valves must give models of the same sizes, but {differing} differ")
    return model


class BodyBuilder:
    """Compiles the two valves once and makes the model of any task from them."""

    def __init__(self) -> None:
        """Compiles both models."""
        self._by_prongs = {3: load_model(), 4: load_four_pronged()}
        for model in self._by_prongs.values():
            model.actuator_forcelimited[:] = 1
            model.actuator_forcerange[:] = [-STALL_TORQUE_N_M, STALL_TORQUE_N_M]
            self._valve_dof = int(model.jnt_dofadr[model.joint(VALVE_JOINT).id])
            model.dof_solimp[self._valve_dof, :2] = _FRICTION_HARDNESS

    def build(self, task: Array) -> mujoco.MjModel:
        """A model of its own for a checked task, shape (5,)."""
        model = copy(self._by_prongs[int(task[_PRONGS])])
        model.actuator_gainprm[:, 0] = task[_GAIN]
        model.actuator_biasprm[:, 1] = -task[_GAIN]
        model.dof_frictionloss[self._valve_dof] = task[_FRICTION]
        return model

    def delay(self, task: Array) -> int:
        """Physics steps until a command acts."""
        return round(float(task[_LATENCY]) / float(self._by_prongs[3].opt.timestep))


class DClawDynamicsWorlds(DClawWorlds):
    """N D'Claws, each with servos, valve and delay of its own; the observation tells the target."""

    def __init__(self, count: int, threads: int | None = None) -> None:
        """As `DClawWorlds`."""
        super().__init__(count, threads)
        self._robot = make_goal_robot()
        self._builder = BodyBuilder()
        self._goal: Array = np.zeros((count, 1))
        self._delay: NDArray[np.intp] = np.zeros(count, dtype=np.intp)
        self._held: Array = np.tile(RESET_POSE_RAD, (count, 1))

    def take_tasks(self, tasks: Array) -> None:
        """Builds each world's body; the servos hold the reset pose until the first command acts.

        Args:
            tasks: Shape (N, 5): target [rad], gain [N m/rad], friction [N m], latency [s], prongs.

        Raises:
            InvalidValueError: If the shape is wrong or a quantity out of range; no world changes.
            NonFiniteError: If a number is NaN or infinite; no world changes.
        """
        tasks = checked_array("tasks", tasks, (self.count, 5))
        check_dynamics(tasks)
        self.physics.models = [self._builder.build(task) for task in tasks]
        self._delay = np.array([self._builder.delay(task) for task in tasks])
        self._goal = tasks[:, :1].copy()
        self._held = np.tile(RESET_POSE_RAD, (self.count, 1))

    def control(self, command: Array) -> Array:
        """The former command until the delay is over, then the new one; shape (N, physics steps, 9)."""
        early = np.arange(self.physics.substeps)[None, :, None] < self._delay[:, None, None]
        control = np.where(early, self._held[:, None], command[:, None])
        self._held = command
        return np.asarray(control)

    def draw(self, world: int, task: Array, width: int = 640, height: int = 480) -> NDArray[np.uint8]:
        """As `DClawWorlds.draw`, with the world's own valve; a camera is opened for each picture."""
        camera = DClawCamera(self.physics.models[world], width, height)
        try:
            return camera.draw(self.physics.state[world], float(task[_TARGET]))
        finally:
            camera.close()

    def _observe(self) -> Array:
        return self._robot.observe(
            self.physics.position, self.physics.velocity, self._last_action, self._goal
        )
