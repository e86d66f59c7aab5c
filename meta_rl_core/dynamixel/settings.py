# SPDX-License-Identifier: Apache-2.0
"""What the registers of a robot's motors must hold, from its description alone."""

from __future__ import annotations

import math

from meta_rl_core.dynamixel.control_table import (
    BAUD_CODES,
    RAD_PER_TICK,
    RETURN_DELAY_UNIT_US,
    TICKS_PER_TURN,
    Mode,
)
from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.robot_description import Bus, Joint, Motor, ObjectJoint, RobotDescription


def joint_angle(tick: float, motor: Motor) -> float:
    """A joint's angle [rad] from a position reading."""
    return (tick - motor.zero_tick) * motor.sign * RAD_PER_TICK


def position_tick(angle_rad: float, motor: Motor) -> int:
    """The nearest position reading of a joint's angle."""
    return round(motor.zero_tick + motor.sign * angle_rad / RAD_PER_TICK)


def kept_settings(robot: RobotDescription) -> dict[str, dict[str, int]]:
    """By joint, the EEPROM registers that matter and what they must hold.

    Raises:
        InvalidValueError: If the robot has no Dynamixel bus or a limit lies outside one turn of its motor.
    """
    bus, motors = robot.bus, robot.motors()
    if bus is None:
        return {}
    joints: tuple[Joint | ObjectJoint, ...] = (*robot.joints, *robot.object_joints)
    return {joint.name: _kept(bus, motors[joint.name], joint) for joint in joints}


def start_settings(motor: Motor) -> dict[str, int]:
    """RAM registers that a driver sets at every start, before torque."""
    gains = motor.position_gains
    return {
        "position_d_gain": gains.d,
        "position_i_gain": gains.i,
        "position_p_gain": gains.p,
        "profile_acceleration": 0,
        "profile_velocity": 0,
    }


def _kept(bus: Bus, motor: Motor, joint: Joint | ObjectJoint) -> dict[str, int]:
    low, high = _tick_limits(motor, joint)
    codes = {rate: code for code, rate in BAUD_CODES.items()}
    return {
        "id": motor.id,
        "baud_rate": codes[bus.baud_rate],
        "return_delay_time": bus.return_delay_us // RETURN_DELAY_UNIT_US,
        "drive_mode": 0,
        "operating_mode": int(Mode.POSITION),
        "shadow_id": 255,
        "homing_offset": 0,
        "temperature_limit": motor.temperature_limit_c,
        "max_position_limit": high,
        "min_position_limit": low,
        "startup_configuration": 0,
        "shutdown": motor.shutdown_mask,
    }


def _tick_limits(motor: Motor, joint: Joint | ObjectJoint) -> tuple[int, int]:
    """Lowest and highest reading that lie within a joint's limits."""
    if isinstance(joint, ObjectJoint):
        return 0, TICKS_PER_TURN - 1
    ends = sorted(
        motor.zero_tick + motor.sign * angle / RAD_PER_TICK
        for angle in (joint.limits.low_rad, joint.limits.high_rad)
    )
    low, high = math.ceil(ends[0]), math.floor(ends[1])
    if not 0 <= low < high < TICKS_PER_TURN:
        raise InvalidValueError(
            f"the limits of {joint.name} are ticks {low} to {high} of motor {motor.id}, which has 0 to "
            f"{TICKS_PER_TURN - 1}: check zero_tick and sign"
        )
    return low, high
