# SPDX-License-Identifier: Apache-2.0
"""Who else commands, and whether the controller listens: read from the graph, named in the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rclpy.node import Node

UNNAMED = "a node that has not told its name yet"
_WATCHES_PER_LOOK = 12
"""The graph is looked at four times a second, right after a command: that takes so long that one could have to wait."""
_LOOKS_FOR_A_NAME = 3
"""A fault with so many looks in a row that see somebody without a name: well within the second that is promised."""
_WATCHES_WITHOUT_COMMAND = 17
"""Where none comes it is looked at all the same."""
_MOST_NAMES = 256


class Commanders:
    """Watches the topics that command a robot.

    Attributes:
        outputs: Topics on which only this node may publish.
        sources: Topics on which only one node may publish.
        doubt: Why nothing may move for now, a sentence or an empty text, as of the latest `look`: the consumer listens
            no more, or somebody also commands who may turn out to be nobody.
    """

    def __init__(self, node: Node, outputs: Sequence[str], sources: Sequence[str], consumer: str) -> None:
        """Prepares, asking nothing yet.

        Args:
            node: Who watches.
            outputs: Topics on which only `node` may publish, resolved.
            sources: Topics on which only one other node may publish, resolved: commands, and what a robot tells of it.
            consumer: Name of the node that must listen to one of the outputs; empty for any or none.
        """
        self._node = node
        self.outputs, self.sources = tuple(outputs), tuple(sources)
        self._consumer = consumer
        self._consumer_seen = False
        self._names: dict[bytes, str] = {}
        self.begin()

    def begin(self) -> None:
        """Forgets what earlier looks found."""
        self.doubt = self._gone = ""
        self._unnamed = self._watches = 0

    def due(self, *, after_command: bool) -> bool:
        """Whether to look now; asked in every period of the watch and, besides, after every command."""
        self._watches += not after_command
        return self._watches >= (_WATCHES_PER_LOOK if after_command else _WATCHES_WITHOUT_COMMAND)

    def look(self, moving: bool, long: bool) -> str:
        """Why a person must look at who commands and who listens, or an empty text. Takes a millisecond or two.

        Args:
            moving: Whether commands pass, so that somebody must listen.
            long: Whether they have passed for so long that whoever listens must have been discovered.
        """
        self._watches = 0
        second = self.second()
        # Nodes are discovered after their publishers: the intruder may be who was killed and is back.
        self._unnamed = self._unnamed + 1 if UNNAMED in second else 0
        if second and self._unnamed not in range(1, _LOOKS_FOR_A_NAME):
            return second
        before, self._gone = self._gone, self.consumer_gone() if moving else ""
        self.doubt = (second if moving else "") or self._gone
        if self._gone and before:
            return self._gone
        return self.consumer_missing() if moving and long else ""

    def second(self) -> str:
        """One sentence that names a second commander, or an empty text.

        Nodes are told apart by name: one that was killed and came back is seen twice until its first life has expired
        (20 s). Two nodes of one name on this machine are kept apart by `HostLock`.
        """
        me = _full_name(self._node.get_namespace(), self._node.get_name())
        for topic in self.outputs:
            others = [name for name in self._publishers(topic) if name != me]
            if others:
                return f"{', '.join(others)} also publishes on {topic}: a robot takes one commander"
        for topic in self.sources:
            names = self._publishers(topic)
            if len(names) > 1:
                return f"{' and '.join(names)} all publish on {topic}: the gate listens to one"
        return ""

    def consumer_gone(self) -> str:
        """One sentence if the consumer listened before and does not any more, or an empty text."""
        missing = self.consumer_missing()
        self._consumer_seen = self._consumer_seen or not missing
        return missing if self._consumer_seen else ""

    def consumer_missing(self) -> str:
        """One sentence if the consumer listens to none of the outputs, or an empty text."""
        if not self._consumer:
            return ""
        infos = (self._node.get_subscriptions_info_by_topic(topic) for topic in self.outputs)
        if any(self._name(info).rpartition("/")[2] == self._consumer for topic in infos for info in topic):
            return ""
        return f"the robot gets no commands: {self._consumer} does not listen to {' or '.join(self.outputs)}"

    def _publishers(self, topic: str) -> list[str]:
        infos: list[Any] = self._node.get_publishers_info_by_topic(topic)
        return sorted({self._name(info) for info in infos})

    def _name(self, info: Any) -> str:
        """Full name of the node behind an endpoint, or `UNNAMED` if it has never been told.

        Whom DDS took from the graph after 20 s of silence and finds again has its endpoints of before, and no name.
        """
        endpoint, name = bytes(info.endpoint_gid), _full_name(info.node_namespace, info.node_name)
        if name == UNNAMED:
            return self._names.get(endpoint, UNNAMED)
        self._names[endpoint] = name
        if len(self._names) > _MOST_NAMES:
            del self._names[next(iter(self._names))]
        return name


def _full_name(namespace: str, name: str) -> str:
    if name == "_NODE_NAME_UNKNOWN_":
        return UNNAMED
    return f"{namespace.rstrip('/')}/{name}"
