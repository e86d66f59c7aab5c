# SPDX-License-Identifier: Apache-2.0
"""The state of all joints at one read, in SI units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.dynamixel.control_table import RAD_S_PER_UNIT
from meta_rl_core.dynamixel.link import MotorLink
from meta_rl_core.dynamixel.settings import joint_angle
from meta_rl_core.runtime.robot_description import RobotDescription

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RobotState:
    """All joints at one read.

    Attributes:
        time_s: When they were read, on the driver's clock [s].
        position: Angles of the robot's measured joints [rad], shape (J,).
        velocity: Speeds [rad/s], shape (J,).
        effort: Torques, from the current and the torque constant of the model found [N m], shape (J,).
    """

    time_s: float
    position: Array
    velocity: Array
    effort: Array


def read_state(robot: RobotDescription, link: MotorLink, now_s: float) -> RobotState:
    """The latest readings of a link as a state."""
    position, velocity, effort = [], [], []
    motors = link.motors
    for joint in robot.measured_names:
        motor, reading, model = motors[joint], link.latest[joint], link.models[joint]
        position.append(joint_angle(reading.position, motor))
        velocity.append(motor.sign * reading.velocity * RAD_S_PER_UNIT)
        effort.append(motor.sign * reading.current * model.current_unit_a * model.torque_per_ampere)
    return RobotState(now_s, np.array(position), np.array(velocity), np.array(effort))
