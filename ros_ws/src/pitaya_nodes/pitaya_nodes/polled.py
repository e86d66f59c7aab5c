# SPDX-License-Identifier: Apache-2.0
"""Messages that are fetched when somebody needs them, instead of waking the process for each one.

A process that wakes up competes for the processor with whoever is on the control path at that moment: the gate
with the policy when a state comes, the policy with the robot's driver when a command was executed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node

from meta_rl_core.runtime.terms import JointReading
from pitaya_nodes.serialized_joints import STAMP_END, SerializedReadings, stamp_ns


class NeverExecuted(CallbackGroup):
    """Keeps executors from waiting for a subscription."""

    def can_execute(self, entity: Any) -> bool:
        """Never."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Never."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing to do."""


def waiting_messages(subscription: Any) -> Iterator[Any]:
    """Messages that came to a subscription and were not handed over yet, oldest first."""
    with subscription.handle:
        while (
            taken := subscription.handle.take_message(subscription.msg_type, subscription.raw)
        ) is not None:
            yield taken[0]


class Polled:
    """A subscription that is read by hand."""

    def __init__(self, node: Node, kind: type, topic: str, qos: Any, *, raw: bool = False) -> None:
        """Subscribes.

        Args:
            node: Who subscribes.
            kind: Message type.
            topic: Topic.
            qos: Profile whose depth is how many messages are kept between two fetches.
            raw: Whether to fetch messages serialized.
        """
        self._node = node
        self._group = NeverExecuted()
        self._subscription = node.create_subscription(
            kind, topic, lambda _: None, qos, raw=raw, callback_group=self._group
        )

    def fetch(self) -> Iterator[Any]:
        """Messages that came since the last fetch, oldest first."""
        return waiting_messages(self._subscription)

    def destroy(self) -> None:
        """Unsubscribes."""
        self._node.destroy_subscription(self._subscription)


class PolledReadings(Polled):
    """Joint states or commands, kept serialized: most of them nobody ever looks at."""

    def __init__(self, node: Node, kind: Any, topic: str, qos: Any) -> None:
        """Subscribes; see `Polled`."""
        super().__init__(node, kind, topic, qos, raw=True)
        self._serialized = SerializedReadings(kind)

    def fetch(self) -> Iterator[tuple[int, Callable[[], JointReading]]]:
        """Stamp [ns] of each new message, oldest first, and how to read its positions."""
        for data in super().fetch():
            if len(data) >= STAMP_END:
                yield stamp_ns(data), self._serialized.reader(data)
