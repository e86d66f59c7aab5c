# SPDX-License-Identifier: Apache-2.0
"""The shafts of an emulated D'Claw: MuJoCo moves fingers and valve as the motors' controllers want."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np

from meta_rl_core.dynamixel.control_table import RAD_PER_TICK
from meta_rl_core.dynamixel.settings import joint_angle
from meta_rl_core.families.dclaw_turn import CLAW_JOINTS, VALVE_JOINT
from meta_rl_core.runtime.robot_description import Motor as MotorDescription
from sim_bridge.batch_physics import FULL_PHYSICS
from sim_bridge.checks import SimulationError
from sim_bridge.dclaw.model import JOINTS, load_model, start_state
from sim_bridge.dynamixel.motor import Motor, shaft_tick

FULL_PWM = 885.0
PWM_PER_TICK_AND_GAIN = 1.0 / 128.0
"""In position mode the error in ticks times P gain over 128 is the PWM, of 885 at most."""


class MujocoHand:
    """Fingers and valve, moved by emulated motors.

    Attributes:
        timestep_s: Physics step [s].
    """

    def __init__(
        self, motors: Mapping[str, Motor], places: Mapping[str, MotorDescription], seed: int = 0
    ) -> None:
        """Puts the hand in its start pose, without torque.

        Args:
            motors: Emulated motor of each joint; a joint without one hangs free.
            places: Zero tick and sign of each joint.
            seed: Seed of the valve's angle at start.
        """
        self._model = load_model()
        self._data = mujoco.MjData(self._model)
        self._model.actuator_forcelimited[:] = 1
        self._motors, self._places = dict(motors), dict(places)
        self._valve = JOINTS.index(VALVE_JOINT)
        # The model that policies are trained on stops the valve after a turn; the shaft of a servo turns on.
        self._model.joint(VALVE_JOINT).limited = 0
        self.timestep_s = float(self._model.opt.timestep)
        self.reset(seed)
        self._tell(0.0)

    def reset(self, world_seed: int) -> None:
        """Puts joints and valve at the start of an episode of that seed, as a person would by hand."""
        time_s = self._data.time
        mujoco.mj_setState(self._model, self._data, start_state(world_seed), FULL_PHYSICS)
        self._data.time = time_s

    def place(self, joint: str, angle_rad: float) -> None:
        """Turns one joint to an angle by hand, and leaves it at rest."""
        self._data.qpos[JOINTS.index(joint)] = angle_rad
        self._data.qvel[JOINTS.index(joint)] = 0.0

    def angle(self, joint: str) -> float:
        """Present angle [rad]."""
        return float(self._data.qpos[JOINTS.index(joint)])

    def advance(self, substeps: int) -> None:
        """Lets `substeps` physics steps pass under the present goals.

        Raises:
            SimulationError: If the physics became unstable.
        """
        self._drive()
        for _ in range(substeps):
            self._push_valve()
            mujoco.mj_step(self._model, self._data)
        if not np.isfinite(self._data.qpos).all():
            raise SimulationError("the physics of the emulated hand became unstable")
        self._tell(substeps * self.timestep_s)

    def _drive(self) -> None:
        for index, joint in enumerate(CLAW_JOINTS):
            motor = self._motors.get(joint)
            stiffness, goal_rad = self._spring(joint)
            self._model.actuator_gainprm[index, 0] = stiffness
            self._model.actuator_biasprm[index, 1] = -stiffness
            self._data.ctrl[index] = goal_rad
            limit = 0.0 if motor is None else motor.model.stall_torque_nm * motor.drive().pwm_share
            self._model.actuator_forcerange[index] = (-limit, limit)

    def _push_valve(self) -> None:
        stiffness, goal_rad = self._spring(VALVE_JOINT)
        motor = self._motors.get(VALVE_JOINT)
        limit = 0.0 if motor is None else motor.model.stall_torque_nm
        torque = stiffness * (goal_rad - self._data.qpos[self._valve])
        self._data.qfrc_applied[self._valve] = min(max(torque, -limit), limit)

    def _spring(self, joint: str) -> tuple[float, float]:
        """Stiffness [N m/rad] and goal [rad] of a joint's controller; stiffness 0 without torque."""
        motor = self._motors.get(joint)
        drive = None if motor is None else motor.drive()
        if motor is None or drive is None or drive.goal_tick is None:
            return 0.0, 0.0
        share_per_tick = drive.position_p * PWM_PER_TICK_AND_GAIN / FULL_PWM
        stiffness = share_per_tick * motor.model.stall_torque_nm / RAD_PER_TICK
        return stiffness, joint_angle(drive.goal_tick, self._places[joint])

    def _tell(self, duration_s: float) -> None:
        for index, joint in enumerate(JOINTS):
            motor = self._motors.get(joint)
            if motor is None:
                continue
            place = self._places[joint]
            valve = index == self._valve
            torque = self._data.qfrc_applied[index] if valve else self._data.actuator_force[index]
            motor.advance(
                duration_s,
                shaft_tick(float(self._data.qpos[index]), place.zero_tick, place.sign),
                place.sign * float(self._data.qvel[index]),
                place.sign * float(torque),
            )
