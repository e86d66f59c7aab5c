# SPDX-License-Identifier: Apache-2.0
"""Finds the definition of any installed message type, so that a recording explains itself."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from pitaya_nodes.errors import RecordingError


class MessageDefinitions:
    """Definitions of standard messages, and of any other installed package when it is first asked for."""

    def __init__(self) -> None:
        """Starts with the standard messages."""
        self.types: Typestore = get_typestore(Stores.ROS2_JAZZY)

    def require(self, name: str) -> None:
        """Makes sure a type such as `pitaya_msgs/msg/TaskBelief` and all it contains is known.

        Raises:
            RecordingError: If its package is not installed or holds no such message.
        """
        if name in self.types.fielddefs:
            return
        found = get_types_from_msg(_definition(name), name)
        for _, fields in found.values():
            for _, field in fields:
                for inner in _names(field):
                    self.require(inner)
        self.types.register(found)


def message_class(name: str) -> Any:
    """The Python class of a message type such as `sensor_msgs/msg/JointState`.

    Raises:
        RecordingError: If it is not installed here.
    """
    package, _, message = name.rpartition("/")
    try:
        return getattr(import_module(package.replace("/", ".")), message)
    except (ImportError, AttributeError, ValueError) as error:
        raise RecordingError(f"message type {name} is not installed here: {error}") from error


def _definition(name: str) -> str:
    package, separator, rest = name.partition("/")
    if not separator:
        raise RecordingError(f"a message type looks like package/msg/Name, got {name!r}")
    try:
        path = Path(get_package_share_directory(package), f"{rest}.msg")
        return path.read_text(encoding="utf-8")
    except (PackageNotFoundError, OSError) as error:
        raise RecordingError(f"message type {name} is not installed here: {error}") from error


def _names(field: Any) -> list[str]:
    kind, detail = field
    if kind == Nodetype.NAME:
        return [str(detail)]
    if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        return _names(detail[0])
    return []
