# SPDX-License-Identifier: Apache-2.0
"""One robot as data: its joints and limits, its motors, its watchdogs and how it gets back to its start.

A file `config/robots/NAME.yaml`, read strictly by `load_robot`; the safety filter, drivers, emulators and checks all
read the same one. `meta_rl_core.runtime.robot_comparison` holds it against a policy's bundle.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError

Array = NDArray[np.float64]
MotorModel = Literal["XM430-W210", "XH430-V210"]
MOTOR_MODELS: tuple[MotorModel, ...] = ("XM430-W210", "XH430-V210")


@dataclass(frozen=True)
class Limits:
    """What a joint may be commanded at the very most, before the safety margin is taken off.

    Attributes:
        low_rad: Lowest position [rad].
        high_rad: Highest position [rad].
        speed_rad_s: Highest speed [rad/s].
        acceleration_rad_s2: Highest acceleration [rad/s^2], or None where none is stated.
    """

    low_rad: float
    high_rad: float
    speed_rad_s: float
    acceleration_rad_s2: float | None = None


@dataclass(frozen=True)
class PositionGains:
    """Gains of a motor's position loop, in the motor's own units."""

    p: int
    i: int
    d: int


@dataclass(frozen=True)
class Motor:
    """The Dynamixel motor of a joint.

    Attributes:
        id: Bus address.
        model: Model that must answer at this address.
        zero_tick: Position reading at joint angle zero.
        sign: 1 if the joint's angle grows with the reading, -1 if it falls.
        position_gains: Gains set at every start.
        shutdown_mask: Errors that must switch torque off (register 63).
        temperature_limit_c: Temperature at which the motor must shut itself down [degrees Celsius].
    """

    id: int
    model: MotorModel
    zero_tick: int
    sign: int
    position_gains: PositionGains
    shutdown_mask: int
    temperature_limit_c: int


@dataclass(frozen=True)
class Joint:
    """A joint that is commanded.

    Attributes:
        name: Name in joint states and bundles.
        limits: Positions, speed and acceleration.
        start_rad: Position at the start of an episode [rad].
        motor: Its Dynamixel motor, or None if something else drives it.
    """

    name: str
    limits: Limits
    start_rad: float
    motor: Motor | None = None


@dataclass(frozen=True)
class ObjectJoint:
    """A joint of the task's object: measured, never commanded by a policy."""

    name: str
    motor: Motor | None = None


@dataclass(frozen=True)
class Watchdogs:
    """How long something may be missing [s], from the first guard to the last.

    Attributes:
        state_age_s: A joint state older than this is stale.
        servo_s: The motors stop by themselves when the bus is silent for this long.
        bus_silence_s: The driver holds when no motor answered for this long.
        command_silence_s: The driver holds when a stream of commands ends; the gate does so earlier.
        fault_s: What has not recovered by now needs a person.
    """

    state_age_s: float
    servo_s: float
    bus_silence_s: float
    command_silence_s: float
    fault_s: float


@dataclass(frozen=True)
class Threshold:
    """Commands reach less far beyond `start` and not at all beyond `hold`."""

    start: float
    hold: float


@dataclass(frozen=True)
class Derating:
    """When the worst motor's temperature [degrees C] and windowed current [A] limit commands.

    `full_reach_rad` is how far from the measured position a command may lie when they do not.
    """

    temperature_c: Threshold
    current_a: Threshold
    current_window_s: float
    full_reach_rad: float


@dataclass(frozen=True)
class FreeStage:
    """One move of freeing tangled fingers: these joints [rad] for this long, the others as before."""

    pose_rad: dict[str, float]
    duration_s: float


@dataclass(frozen=True)
class ResetRoutine:
    """How the robot gets back to the start of an episode, see `docs/hardware.md`."""

    limp_joints: tuple[str, ...]
    object_start_rad: float
    object_tolerance_rad: float
    object_timeout_s: float
    pose_tolerance_rad: float
    pose_timeout_s: float
    speed_rad_s: float
    tries: int
    free_limp_s: float
    free_stages: tuple[FreeStage, ...]


@dataclass(frozen=True)
class Bus:
    """The Dynamixel bus.

    Attributes:
        baud_rate: Bits per second of every motor and the adapter.
        return_delay_us: What every motor's Return Delay Time must be [us].
        latency_timer_ms: What the USB adapter's latency timer should be [ms].
        least_firmware: Oldest firmware that has a bus watchdog.
    """

    baud_rate: int
    return_delay_us: int
    latency_timer_ms: int
    least_firmware: int


@dataclass(frozen=True)
class RobotDescription:
    """A robot.

    Attributes:
        name: Its name.
        description: One sentence.
        joints: Commanded joints, in order.
        object_joints: Measured joints of the object.
        safety_margin_rad: How far inside the limits commands stay [rad].
        state_hz: Joint states per second.
        watchdogs: Time limits.
        derating: Heat and current limits, or None.
        reset: Reset routine, or None if the robot has none.
        bus: The Dynamixel bus, or None.
    """

    name: str
    description: str
    joints: tuple[Joint, ...]
    object_joints: tuple[ObjectJoint, ...]
    safety_margin_rad: float
    state_hz: float
    watchdogs: Watchdogs
    derating: Derating | None = None
    reset: ResetRoutine | None = None
    bus: Bus | None = None

    @cached_property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the commanded joints."""
        return tuple(joint.name for joint in self.joints)

    @cached_property
    def measured_names(self) -> tuple[str, ...]:
        """Names of all measured joints: commanded ones, then the object's."""
        return (*self.joint_names, *(joint.name for joint in self.object_joints))

    @cached_property
    def low_rad(self) -> Array:
        """Lowest positions of the joints [rad], shape (A,)."""
        return np.array([joint.limits.low_rad for joint in self.joints])

    @cached_property
    def high_rad(self) -> Array:
        """Highest positions of the joints [rad], shape (A,)."""
        return np.array([joint.limits.high_rad for joint in self.joints])

    @cached_property
    def command_low_rad(self) -> Array:
        """Lowest commands [rad], the safety margin taken off, shape (A,)."""
        return self.low_rad + self.safety_margin_rad

    @cached_property
    def command_high_rad(self) -> Array:
        """Highest commands [rad], the safety margin taken off, shape (A,)."""
        return self.high_rad - self.safety_margin_rad

    @cached_property
    def speed_rad_s(self) -> Array:
        """Highest speeds [rad/s], shape (A,)."""
        return np.array([joint.limits.speed_rad_s for joint in self.joints])

    @cached_property
    def acceleration_rad_s2(self) -> Array | None:
        """Highest accelerations [rad/s^2], shape (A,), infinite where none is stated; None if none is anywhere."""
        stated = [joint.limits.acceleration_rad_s2 for joint in self.joints]
        if all(value is None for value in stated):
            return None
        return np.array([np.inf if value is None else value for value in stated])

    @cached_property
    def start_rad(self) -> Array:
        """Positions at the start of an episode [rad], shape (A,)."""
        return np.array([joint.start_rad for joint in self.joints])

    def motors(self) -> dict[str, Motor]:
        """The motor of every measured joint, by joint name.

        Raises:
            InvalidValueError: If the robot has no Dynamixel bus.
        """
        if self.bus is None:
            raise InvalidValueError(
                f"robot {self.name} has no Dynamixel bus: its description lacks the key dynamixel"
            )
        joints: tuple[Joint | ObjectJoint, ...] = (*self.joints, *self.object_joints)
        return {joint.name: joint.motor for joint in joints if joint.motor is not None}
