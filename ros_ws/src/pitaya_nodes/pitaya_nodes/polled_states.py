# SPDX-License-Identifier: Apache-2.0
"""Joint states that are fetched when somebody needs them, instead of waking the process for each one.

A process that wakes up for every state competes for the processor with the policy, at the very moment the policy
must answer that state. States are kept serialized: most of them nobody ever looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import JointState

from meta_rl_core.runtime.terms import JointReading
from pitaya_nodes.convert import NANOSECONDS, reading_from_state

_STAMP_END = 12
"""A serialized message begins with four bytes on its encoding, the second of which tells the byte order; a
message with a header goes on with seconds (int32) and nanoseconds (uint32)."""


class _NeverExecuted(CallbackGroup):
    """Keeps executors from waiting for a subscription."""

    def can_execute(self, entity: Any) -> bool:
        """Never."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Never."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing to do."""


class PolledStates:
    """A subscription to joint states that is read by hand."""

    def __init__(self, node: Node, topic: str, qos: Any) -> None:
        """Subscribes.

        Args:
            node: Who subscribes.
            topic: Topic with joint states.
            qos: Profile whose depth is how many states are kept between two fetches.
        """
        self._node = node
        self._group = _NeverExecuted()
        self._subscription = node.create_subscription(
            JointState, topic, lambda _: None, qos, raw=True, callback_group=self._group
        )

    def fetch(self) -> Iterator[tuple[int, Callable[[], JointReading]]]:
        """States that came since the last fetch, oldest first: stamp [ns], and how to read positions."""
        subscription = self._subscription
        with subscription.handle:
            while (
                taken := subscription.handle.take_message(subscription.msg_type, subscription.raw)
            ) is not None:
                data = taken[0]
                if len(data) >= _STAMP_END:
                    yield _stamp_ns(data), _reader(data)

    def destroy(self) -> None:
        """Unsubscribes."""
        self._node.destroy_subscription(self._subscription)


def _stamp_ns(data: bytes) -> int:
    order = "little" if data[1] & 1 else "big"
    seconds = int.from_bytes(data[4:8], order, signed=True)  # type: ignore[arg-type]
    return seconds * NANOSECONDS + int.from_bytes(data[8:_STAMP_END], order)  # type: ignore[arg-type]


def _reader(data: bytes) -> Callable[[], JointReading]:
    return lambda: reading_from_state(deserialize_message(data, JointState), with_velocity=False)
