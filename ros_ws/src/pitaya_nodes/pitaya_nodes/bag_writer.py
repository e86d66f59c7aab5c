# SPDX-License-Identifier: Apache-2.0
"""Writes rosbag2 directories (metadata.yaml and MCAP); what was flushed survives a crash."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Literal

from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError

from pitaya_nodes.errors import RecordingError
from pitaya_nodes.message_definitions import MessageDefinitions

BAG_VERSION: Literal[9] = 9
_FOREVER = QosTime(2147483647, 4294967295)


class BagWriter:
    """One recording."""

    def __init__(self, directory: Path) -> None:
        """Creates the directory.

        Raises:
            RecordingError: If it exists already or cannot be made.
        """
        self._definitions = MessageDefinitions()
        self.directory = directory
        self.count = 0
        try:
            self._writer = Writer(directory, version=BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
        except (WriterError, OSError) as error:
            raise RecordingError(f"cannot record into {directory}: {error}") from error
        self._unflushed = 0

    def add_topic(self, topic: str, kind: str, *, latched: bool, reliable: bool) -> Connection:
        """Announces a topic; gives the handle that `write` wants.

        Args:
            topic: Fully qualified name.
            kind: Message type such as `sensor_msgs/msg/JointState`.
            latched: Whether its publisher keeps the last message for late readers.
            reliable: Whether its publisher is reliable.

        Raises:
            RecordingError: If the message type is not installed here.
        """
        self._definitions.require(kind)
        profile = _qos(latched=latched, reliable=reliable)
        return self._writer.add_connection(
            topic, kind, typestore=self._definitions.types, offered_qos_profiles=[profile]
        )

    def write(self, connection: Connection, stamp_ns: int, data: bytes) -> None:
        """Adds one serialized message received at `stamp_ns` [ns]."""
        self._writer.write(connection, stamp_ns, data)
        self.count += 1
        self._unflushed += 1

    def flush(self) -> None:
        """Brings everything written so far to the file, where a reader can recover it after a crash."""
        storage: Any = self._writer.storage
        if storage is None or not self._unflushed:
            return
        storage.close_chunk()
        storage.bio.flush()
        self._unflushed = 0

    def close(self) -> None:
        """Writes index and metadata.yaml; the recording is complete."""
        if self._writer.storage is None:
            return
        self._writer.close()
        with contextlib.suppress(OSError):
            for path in self.directory.iterdir():
                _to_disk(path)


def _qos(*, latched: bool, reliable: bool) -> Qos:
    return Qos(
        history=QosHistory.UNKNOWN,
        depth=0,
        reliability=QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=_FOREVER,
        lifespan=_FOREVER,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_FOREVER,
        avoid_ros_namespace_conventions=False,
    )


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
