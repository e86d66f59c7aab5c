# SPDX-License-Identifier: Apache-2.0
"""Tells which transitions did not count and why: a topic, a line of diagnostics, a warning without rewards."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from pitaya_msgs.msg import TransitionRefusal

from meta_rl_core.runtime.admission import Refused
from meta_rl_core.runtime.pairing import MISSING_TO_PAUSE
from pitaya_nodes import convert, qos

if TYPE_CHECKING:
    from pitaya_nodes.policy_node import PolicyNode


class TransitionReport:
    """The refusals of one policy node since the goal began."""

    def __init__(self, node: PolicyNode) -> None:
        """Adds its line to the node's diagnostics; nothing is published before `open`."""
        self._node = node
        self._counts: Counter[str] = Counter()
        self._last: Refused | None = None
        self._was_paused = False
        node.diagnostics.add(self._line)

    def open(self) -> None:
        """Opens the topic."""
        self._outlet = self._node.speaker(TransitionRefusal, "~/refusals", qos.PAIRED)
        self.begin()

    def begin(self) -> None:
        """A goal begins: counts start anew."""
        self._counts.clear()
        self._last, self._was_paused = None, False

    def refused(self, refused: Refused) -> None:
        """Counts, publishes and keeps a refusal."""
        reason = refused.reason.name.lower()
        self._counts[reason] += 1
        self._last = refused
        message = TransitionRefusal(
            episode=refused.episode, step=refused.step, reason=reason, detail=refused.detail
        )
        message.header.stamp = convert.time_message(refused.stamp_ns)
        self._outlet.publish(message)
        self._node.journal.refused(refused)

    @property
    def trouble(self) -> str:
        """Why nothing is learnt at present, in one sentence, or empty."""
        if self._node.action is None or not self._node.pairing.paused:
            return ""
        return (
            f"adaptation is paused and z is kept: the rewards of {MISSING_TO_PAUSE} steps in a row never came; "
            "it goes on with the first one that does"
        )

    def check(self) -> None:
        """Lets the status follow when adaptation paused or went on."""
        paused = bool(self.trouble)
        if paused != self._was_paused:
            self._was_paused = paused
            self._node.get_logger().warning(self.trouble or "rewards come again: adaptation goes on")
            self._node.report_again()

    def _line(self) -> DiagnosticStatus:
        status = DiagnosticStatus(name="transitions", level=DiagnosticStatus.OK, message="no goal yet")
        if self._node.action is None:
            return status
        pairing = self._node.pairing
        status.message = self.trouble or f"{pairing.accepted} accepted, {pairing.rejected} refused"
        status.values = [
            KeyValue(key="accepted", value=str(pairing.accepted)),
            *(KeyValue(key=f"refused: {reason}", value=str(count)) for reason, count in self._counts.items()),
        ]
        if self._last is not None:
            status.level = DiagnosticStatus.WARN
            where = f"episode {self._last.episode} step {self._last.step}"
            status.values.append(KeyValue(key="last refusal", value=f"{where}: {self._last.detail}"))
        return status
