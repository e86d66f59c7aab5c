# SPDX-License-Identifier: Apache-2.0
"""Which of the gate's commands a robot says that it carries out, on the topic `applied_command`."""

from __future__ import annotations

from pitaya_msgs.msg import JointCommand

from meta_rl_core.runtime.acknowledgement import Acknowledgements
from pitaya_nodes import qos
from pitaya_nodes.managed_node import ManagedNode
from pitaya_nodes.parameters import Setting
from pitaya_nodes.polled import PolledReadings

APPLIED_TOPIC = "applied_command"
ACKNOWLEDGED = Setting(
    "acknowledged",
    False,
    "Whether the robot tells on applied_command which commands it carries out, by their stamp. Then one that stays "
    "untold for two periods is a fault of the gate, and the policy learns from what was told instead of from what was "
    "sent.",
)
PATIENCE_PERIODS = 2.0
"""How long the gate waits to be told [policy periods]."""


class AppliedCommands:
    """Listens to the robot; one that does not tell, or stands still until it gets its command, misses none."""

    def __init__(self, node: ManagedNode, period_s: float, *, waits: bool) -> None:
        """Subscribes until the node is cleaned up, if there is anything to hear.

        Args:
            node: The gate; its parameter `acknowledged` says whether the robot tells.
            period_s: The policy's period [s].
            waits: Whether the robot stands still until its command comes.
        """
        self._open = Acknowledgements(PATIENCE_PERIODS * period_s)
        self._polled: PolledReadings | None = None
        if node.value(ACKNOWLEDGED.name):
            self._polled = node.polled(PolledReadings(node, JointCommand, APPLIED_TOPIC, qos.PAIRED))
        self._watched = self._polled is not None and not waits

    def begin(self) -> None:
        """Forgets what was sent: at rest, or after a hold."""
        self._open.begin()

    def sent(self, stamp_ns: int, now_ns: int) -> None:
        """Notes a command that leaves now in answer to the state stamped `stamp_ns` [ns]."""
        if self._watched:
            self._open.sent(stamp_ns, now_ns)

    def complaint(self, latest_ns: int | None, now_ns: int) -> str:
        """A sentence if a command did not arrive, or an empty text.

        Args:
            latest_ns: Stamp of the latest sound state [ns]; to be fetched before, so that no state counts against a
                robot whose word on it still waits to be heard.
            now_ns: The present time [ns].
        """
        if self._polled is None or not self._watched:
            return ""
        for stamp_ns, _ in self._polled.fetch():
            self._open.applied(stamp_ns)
        return self._open.complaint(latest_ns, now_ns)
