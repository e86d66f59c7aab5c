# SPDX-License-Identifier: Apache-2.0
"""A node between a sender and its readers that drops, delays, repeats, reorders, corrupts or cuts, by a seeded script.

`python -m tests.faults.relay SENSOR raw/joint_states joint_states` passes joint states on; further threes pass further
topics on. What it does to them comes as JSON on the latched topic `chaos`: any of drop, repeat, corrupt, wild (shares
from 0 to 1; wild ones get another stamp), delay_s (longest), reorder (share of messages held back behind the next one),
cut (true lets nothing pass) and seed.
"""

from __future__ import annotations

import heapq
import json
import sys
import time
from typing import Any

import numpy as np
import rclpy
from pitaya_msgs.msg import JointCommand, StampedReward
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, String

from pitaya_nodes import qos

KINDS = {
    "SENSOR": (JointState, qos.EVERY_STATE, qos.STATE),
    "REWARD": (StampedReward, qos.PAIRED, qos.PAIRED),
    "COMMAND": (JointCommand, qos.PAIRED, qos.PAIRED),
}
TOPIC, READY = "chaos", "chaos/ready"
_NEVER_S = 0.05
_ENCODING_BYTES = 4


class Relay(Node):
    """Passes serialized messages on, unless its script says otherwise."""

    def __init__(self, kind: str, source: str, target: str) -> None:
        """Opens both ends.

        Args:
            kind: SENSOR, REWARD or COMMAND.
            source: Topic to read.
            target: Topic to write.
        """
        super().__init__(f"relay_{target.replace('/', '_')}")
        message, reading, writing = KINDS[kind]
        self._outlet = self.create_publisher(message, target, writing)
        self._script: dict[str, Any] = {}
        self._random = np.random.default_rng(0)
        self._due: list[tuple[float, int, bytes]] = []
        self._count = 0
        self._kept: bytes | None = None
        self._scripts = self.create_subscription(String, TOPIC, self._on_script, qos.LATCHED)
        self._inlet = self.create_subscription(message, source, self._on_message, reading, raw=True)
        self._ready = self.create_publisher(Bool, READY, qos.LATCHED)
        self._told = False

    def tell(self) -> None:
        """Says once on `chaos/ready` that everybody is connected; DDS may take seconds to introduce a process."""
        ends = self._scripts.get_publisher_count(), self._inlet.get_publisher_count()
        if not self._told and all(ends) and self._outlet.get_subscription_count():
            self._told = True
            self._ready.publish(Bool(data=True))

    def _on_script(self, message: String) -> None:
        self._script = json.loads(message.data)
        self._random = np.random.default_rng(int(self._script.get("seed", 0)))

    def _happens(self, what: str) -> bool:
        return bool(self._random.random() < float(self._script.get(what, 0.0)))

    def _on_message(self, data: bytes) -> None:
        if self._script.get("cut") or self._happens("drop"):
            return
        if self._kept is None and self._happens("reorder"):
            self._kept = data
            return
        if self._happens("wild"):
            data = self._with_wild_stamp(data)
        for copy in (data,) * (2 if self._happens("repeat") else 1):
            self._send_later(self._corrupted(copy) if self._happens("corrupt") else copy)
        if self._kept is not None:
            kept, self._kept = self._kept, None
            self._send_later(kept)

    def _with_wild_stamp(self, data: bytes) -> bytes:
        """The seconds of the stamp, which follow the encoding, are any number."""
        return data[:_ENCODING_BYTES] + self._random.bytes(4) + data[_ENCODING_BYTES + 4 :]

    def _corrupted(self, data: bytes) -> bytes:
        """Flips bits, or cuts the end off; the four bytes that tell the encoding stay."""
        damaged = bytearray(data)
        for _ in range(int(self._random.integers(1, 6))):
            place = int(self._random.integers(_ENCODING_BYTES, len(damaged)))
            damaged[place] ^= 1 << int(self._random.integers(8))
        if self._random.random() < 0.3:
            del damaged[int(self._random.integers(_ENCODING_BYTES, len(damaged))) :]
        return bytes(damaged)

    def _send_later(self, data: bytes) -> None:
        longest_s = float(self._script.get("delay_s", 0.0))
        if longest_s == 0.0 and not self._due:
            self._outlet.publish(data)
            return
        self._count += 1
        due_s = time.monotonic() + float(self._random.uniform(0.0, longest_s))
        heapq.heappush(self._due, (due_s, self._count, data))

    def send_due(self) -> float:
        """Sends what is due; gives how long until the next [s]."""
        while self._due and self._due[0][0] <= time.monotonic():
            self._outlet.publish(heapq.heappop(self._due)[2])
        return max(0.0, self._due[0][0] - time.monotonic()) if self._due else _NEVER_S


def main(arguments: list[str]) -> None:
    """Runs until it is told to stop."""
    rclpy.init()
    relays = [Relay(*three) for three in zip(*[iter(arguments)] * 3, strict=True)]
    executor = SingleThreadedExecutor()
    for relay in relays:
        executor.add_node(relay)
    try:
        while rclpy.ok():
            for relay in relays:
                relay.tell()
            executor.spin_once(timeout_sec=min(_NEVER_S, *(relay.send_due() for relay in relays)))
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        for relay in relays:
            relay.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main(sys.argv[1:])
