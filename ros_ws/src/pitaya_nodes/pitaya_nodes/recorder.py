# SPDX-License-Identifier: Apache-2.0
"""Records topics of any type, as serialized messages, into a rosbag2 directory until it is told to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from pitaya_nodes.bag_writer import BagWriter
from pitaya_nodes.diagnostics import Diagnostics
from pitaya_nodes.errors import RecordingError
from pitaya_nodes.managed_node import run
from pitaya_nodes.message_definitions import message_class
from pitaya_nodes.parameters import Setting, declare_settings

SEARCH_PERIOD_S = 0.1
FLUSH_PERIOD_S = 1.0
QUEUE_DEPTH = 1000

SETTINGS = (
    Setting("directory", "", "Directory to create and record into."),
    Setting("topics", Parameter.Type.STRING_ARRAY, "Topics to record, each once somebody publishes it."),
)


class Recorder(Node):
    """Subscribes to topics as they appear and writes what comes."""

    def __init__(self) -> None:
        """Opens the recording.

        Raises:
            RecordingError: If there is nothing to record or the directory cannot be made.
        """
        super().__init__("recorder")
        declare_settings(self, SETTINGS)
        directory, topics = self.get_parameter("directory").value, self.get_parameter_or("topics").value
        if not directory or not topics:
            raise RecordingError("give the parameters directory and topics: where and what to record")
        self._missing = {self.resolve_topic_name(topic) for topic in topics}
        self._diagnostics = Diagnostics(self)
        self._bag = BagWriter(Path(directory).expanduser().absolute())
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(SEARCH_PERIOD_S, self._search, clock=steady)
        self.create_timer(FLUSH_PERIOD_S, lambda: self._guard(self._bag.flush), clock=steady)
        self._failed = False
        self.get_logger().info(f"recording into {self._bag.directory}")

    def destroy_node(self) -> None:
        """Completes the recording before anything else ends."""
        self._guard(self._bag.close)
        super().destroy_node()

    def _guard(self, work: Callable[[], object]) -> None:
        """A full disk ends the recording, never the process, and what was written stays."""
        if self._failed:
            return
        try:
            work()
        except OSError as error:
            self._failed = True
            self.get_logger().error(f"recording stopped after {self._bag.count} messages: {error}")

    def _search(self) -> None:
        if not self._missing:
            return
        for topic, kinds in self.get_topic_names_and_types():
            publishers = self.get_publishers_info_by_topic(topic) if topic in self._missing else []
            if publishers:
                self._missing.discard(topic)
                self._subscribe(topic, kinds[0], publishers)

    def _subscribe(self, topic: str, kind: str, publishers: list[Any]) -> None:
        profiles = [publisher.qos_profile for publisher in publishers]
        latched = all(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in profiles)
        reliable = all(profile.reliability == ReliabilityPolicy.RELIABLE for profile in profiles)
        try:
            connection = self._bag.add_topic(topic, kind, latched=latched, reliable=reliable)
            message_type = message_class(kind)
        except RecordingError as error:
            self.get_logger().error(f"{topic} is not recorded: {error}")
            return
        monitor = self._diagnostics.monitor(topic)

        def record(data: bytes) -> None:
            monitor.came()
            self._guard(lambda: self._bag.write(connection, time.time_ns(), data))

        # As the publishers offer it, or the two would not be connected.
        profile = QoSProfile(
            depth=QUEUE_DEPTH,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        )
        self.create_subscription(message_type, topic, record, profile, raw=True)


def main() -> int:
    """Entry point."""
    return run(Recorder)


if __name__ == "__main__":
    raise SystemExit(main())
