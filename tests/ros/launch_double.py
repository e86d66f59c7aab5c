# SPDX-License-Identifier: Apache-2.0
"""The part of `launch` and `launch_ros` that launch files use, for machines that lack them.

It keeps what it is given, so that a test can look at a launch description.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any


class Kept:
    """Keeps positional arguments as `given` and keyword arguments as attributes."""

    def __init__(self, *given: Any, **named: Any) -> None:
        self.given = given
        self.__dict__.update(named)


def modules() -> dict[str, ModuleType]:
    """The doubles by module name, ready for `sys.modules`."""
    contents = {
        "launch": ["LaunchDescription"],
        "launch.actions": [
            "DeclareLaunchArgument",
            "EmitEvent",
            "LogInfo",
            "OpaqueFunction",
            "RegisterEventHandler",
            "TimerAction",
        ],
        "launch.events": ["Shutdown"],
        "launch.event_handlers": ["OnProcessExit"],
        "launch_ros": [],
        "launch_ros.actions": ["Node"],
    }
    made = {}
    for name, classes in contents.items():
        made[name] = ModuleType(name)
        for each in classes:
            setattr(made[name], each, type(each, (Kept,), {}))
    return made
