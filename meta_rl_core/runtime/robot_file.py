# SPDX-License-Identifier: Apache-2.0
"""Reads the description of a robot from YAML: every key known, every number in range, all of it consistent."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.fields import Fields
from meta_rl_core.runtime.robot_description import (
    MOTOR_MODELS,
    Bus,
    Derating,
    FreeStage,
    Joint,
    Limits,
    Motor,
    MotorModel,
    ObjectJoint,
    PositionGains,
    ResetRoutine,
    RobotDescription,
    Threshold,
    Watchdogs,
)
from meta_rl_core.runtime.robot_rules import check_robot
from meta_rl_core.runtime.strict_yaml import parse_yaml, read_yaml

SCHEMA_VERSION = 1
BAUD_RATES = (9600, 57600, 115200, 1_000_000, 2_000_000, 3_000_000, 4_000_000, 4_500_000)
LARGEST_GAIN = 16383
_LONGEST_S = 600.0


def find_robot(name: str) -> Path:
    """The description of a robot: a path as given, else the shipped one of that name.

    Raises:
        InvalidValueError: If there is no such robot; names those that there are.
    """
    given = Path(name).expanduser()
    if given.suffix in (".yaml", ".yml"):
        return given.absolute()
    known: list[str] = []
    for folder in _folders():
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
        known += [item.stem for item in folder.glob("*.yaml")]
    choices = ", ".join(sorted(set(known))) or "none"
    raise InvalidValueError(f"unknown robot {name!r}; known: {choices}. A path to a .yaml file works too.")


def _folders() -> Iterator[Path]:
    """Where descriptions are shipped: this checkout, then ROS workspaces."""
    yield Path(__file__).resolve().parents[2] / "config" / "robots"
    for prefix in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):
        yield Path(prefix) / "share" / "pitaya_bringup" / "config" / "robots"


def load_robot(path: Path | str) -> RobotDescription:
    """Reads and checks a robot description.

    Raises:
        InvalidValueError: If the file cannot be read, has unknown or missing keys, or contradicts itself.
    """
    place = Path(path)
    content = read_yaml(place)
    try:
        return read_robot(content)
    except InvalidValueError as error:
        raise InvalidValueError(f"{place}: {error}") from error


def parse_robot(text: str) -> RobotDescription:
    """As `load_robot`, from a text."""
    return read_robot(parse_yaml(text))


def read_robot(content: dict[str, Any]) -> RobotDescription:
    """Reads and checks a parsed description.

    Raises:
        InvalidValueError: See `load_robot`.
    """
    fields = Fields(content, "robot")
    fields.integer("schema_version", SCHEMA_VERSION, SCHEMA_VERSION)
    bus, defaults = _bus(fields) if "dynamixel" in fields.values else (None, {})
    rates = fields.inner("rates")
    robot = RobotDescription(
        name=fields.text("name", longest=100),
        description=fields.text("description"),
        joints=tuple(_joint(item, bus, defaults) for item in fields.items("joints", most=100)),
        object_joints=tuple(
            _object_joint(item, bus, defaults) for item in _optional_items(fields, "object_joints")
        ),
        safety_margin_rad=fields.number("safety_margin_rad", 0.0, math.pi / 4),
        state_hz=rates.number("state_hz", 1.0, 1000.0),
        watchdogs=_watchdogs(fields.inner("watchdogs")),
        derating=_derating(fields.inner("derating")) if "derating" in fields.values else None,
        reset=_reset(fields.inner("reset")) if "reset" in fields.values else None,
        bus=bus,
    )
    rates.finish()
    fields.finish()
    check_robot(robot)
    return robot


def _optional_items(fields: Fields, key: str) -> list[Fields]:
    return fields.items(key, most=100) if key in fields.values else []


def _joint(fields: Fields, bus: Bus | None, defaults: dict[str, Any]) -> Joint:
    limits = fields.inner("limits")
    joint = Joint(
        name=_name(fields),
        limits=Limits(
            low_rad=limits.number("low_rad", -100.0, 100.0),
            high_rad=limits.number("high_rad", -100.0, 100.0),
            speed_rad_s=limits.number("speed_rad_s", 1e-3, 100.0),
            acceleration_rad_s2=limits.number("acceleration_rad_s2", 1e-3, 1e5)
            if "acceleration_rad_s2" in limits.values
            else None,
        ),
        start_rad=fields.number("start_rad", -100.0, 100.0),
        motor=_motor(fields, defaults) if bus is not None else None,
    )
    limits.finish()
    fields.finish()
    return joint


def _object_joint(fields: Fields, bus: Bus | None, defaults: dict[str, Any]) -> ObjectJoint:
    joint = ObjectJoint(_name(fields), _motor(fields, defaults) if bus is not None else None)
    fields.finish()
    return joint


def _name(fields: Fields) -> str:
    name = fields.text("name", longest=100)
    if not name.isidentifier():
        raise InvalidValueError(f"{fields.where}.name must be letters, digits and underscores, got {name!r}")
    return name


def _motor(joint: Fields, defaults: dict[str, Any]) -> Motor:
    own = joint.inner("dynamixel")
    fields = Fields({**defaults, **own.values}, own.where)
    gains = fields.inner("position_gains")
    motor = Motor(
        id=fields.integer("id", 0, 252),
        model=cast(MotorModel, fields.text("model", MOTOR_MODELS)),
        zero_tick=fields.integer("zero_tick", 0, 4095),
        sign=fields.integer("sign", -1, 1),
        position_gains=PositionGains(
            gains.integer("p", 1, LARGEST_GAIN),
            gains.integer("i", 0, LARGEST_GAIN),
            gains.integer("d", 0, LARGEST_GAIN),
        ),
        shutdown_mask=fields.integer("shutdown_mask", 0, 63),
        temperature_limit_c=fields.integer("temperature_limit_c", 0, 100),
    )
    gains.finish()
    fields.finish()
    return motor


def _watchdogs(fields: Fields) -> Watchdogs:
    names = ("state_age_s", "servo_s", "bus_silence_s", "command_silence_s", "fault_s")
    watchdogs = Watchdogs(**{name: fields.number(name, 1e-3, 60.0) for name in names})
    fields.finish()
    return watchdogs


def _derating(fields: Fields) -> Derating:
    derating = Derating(
        temperature_c=_threshold(fields.inner("temperature_c"), 100.0),
        current_a=_threshold(fields.inner("current_a"), 10.0),
        current_window_s=fields.number("current_window_s", 0.0, 60.0),
        full_reach_rad=fields.number("full_reach_rad", 1e-3, 10.0),
    )
    fields.finish()
    return derating


def _threshold(fields: Fields, highest: float) -> Threshold:
    threshold = Threshold(fields.number("start", 0.0, highest), fields.number("hold", 0.0, highest))
    fields.finish()
    return threshold


def _reset(fields: Fields) -> ResetRoutine:
    routine = ResetRoutine(
        limp_joints=fields.names("limp_joints"),
        object_start_rad=fields.number("object_start_rad", 0.0, math.pi),
        object_tolerance_rad=fields.number("object_tolerance_rad", 1e-3, math.pi),
        object_timeout_s=fields.number("object_timeout_s", 0.1, _LONGEST_S),
        pose_tolerance_rad=fields.number("pose_tolerance_rad", 1e-3, math.pi),
        pose_timeout_s=fields.number("pose_timeout_s", 0.1, _LONGEST_S),
        speed_rad_s=fields.number("speed_rad_s", 1e-2, 10.0),
        tries=fields.integer("tries", 1, 20),
        free_limp_s=fields.number("free_limp_s", 0.0, 60.0),
        free_stages=tuple(_stage(item) for item in fields.items("free_stages", most=20)),
    )
    fields.finish()
    return routine


def _stage(fields: Fields) -> FreeStage:
    pose = fields.inner("pose_rad")
    stage = FreeStage(
        {name: pose.number(name, -100.0, 100.0) for name in pose.values},
        fields.number("duration_s", 0.0, 60.0),
    )
    fields.finish()
    return stage


def _bus(fields: Fields) -> tuple[Bus, dict[str, Any]]:
    inner = fields.inner("dynamixel")
    bus = Bus(
        baud_rate=inner.integer("baud_rate", 9600, 4_500_000),
        return_delay_us=inner.integer("return_delay_us", 0, 508),
        latency_timer_ms=inner.integer("latency_timer_ms", 1, 255),
        least_firmware=inner.integer("least_firmware", 38, 255),
    )
    if bus.baud_rate not in BAUD_RATES:
        raise InvalidValueError(
            f"robot.dynamixel.baud_rate must be one of {', '.join(map(str, BAUD_RATES))}, got {bus.baud_rate}"
        )
    defaults = dict(inner.inner("motor_defaults").values) if "motor_defaults" in inner.values else {}
    inner.finish()
    return bus, defaults
