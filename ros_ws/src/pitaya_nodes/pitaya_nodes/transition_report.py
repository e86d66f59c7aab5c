# SPDX-License-Identifier: Apache-2.0
"""What became of transitions: which count, which do not and why, which are taken back, that the task changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from pitaya_msgs.msg import TransitionRefusal

from meta_rl_core.belief import TaskBelief
from meta_rl_core.runtime.admission import Admitted, Refusal, Refused
from meta_rl_core.runtime.pairing import MISSING_TO_PAUSE
from meta_rl_core.runtime.recent_evidence import RecentEvidence
from pitaya_nodes import convert, qos
from pitaya_nodes.goals import PROOF_PERIODS
from pitaya_nodes.task_change import TaskChange

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
        self._change = TaskChange(node)

    def open(self) -> None:
        """Opens the topic, and watches for a change of the task if the bundle can tell."""
        self._change.open()
        self._outlet = self._node.speaker(TransitionRefusal, "~/refusals", qos.PAIRED)
        self.begin(keeps_belief=False)
        self._node.journal.tell_recent()

    def begin(self, *, keeps_belief: bool) -> None:
        """A goal begins: counts start anew; what entered a belief that it goes on from can still come in doubt."""
        self._counts.clear()
        self._last, self._was_paused = None, False
        self._change.begin()
        if not keeps_belief:
            self.believe()

    def believe(self) -> None:
        """Somebody has put the present belief in place: nothing of it can be in doubt."""
        node = self._node
        self._recent = RecentEvidence(
            node.robot.period_s, PROOF_PERIODS, node.adapter.belief, node.belief_stamp_ns
        )

    def restored(
        self, base: TaskBelief, stamp_ns: int, entered: Sequence[tuple[Admitted, TaskBelief]]
    ) -> None:
        """A journal has put the present belief in place: these transitions led to it from another one."""
        self._recent.begin(base, stamp_ns)
        for item, belief in entered:
            self._recent.entered(item, belief)

    def observed(self, item: Admitted) -> None:
        """Takes a transition that has entered the belief; the belief is the prior if it shows a changed task."""
        self._change.observed(item)
        self._recent.entered(item, self._node.adapter.belief)

    def doubt(self, known_ns: int, reason: str) -> None:
        """The gate lets nothing pass, from the state stamped so on: what was executed lately may not be what it seemed.

        What is still undecided will not count; what has entered the belief is taken back.
        """
        node, episode = self._node, self._node.episode
        node.pairing.distrust()
        doubted = self._recent.take_back(known_ns, None if episode is None else episode.step)
        if not doubted:
            return
        node.adapter.believe(self._recent.belief)
        node.belief_stamp_ns = self._recent.stamp_ns
        if episode is not None:
            episode.last_stamp_ns = self._recent.stamp_ns
        self._change.believe()
        node.journal.took_back()
        for item in doubted:
            node.pairing.withdraw(
                item, Refusal.INTERVENTION, f"it was taken back out of the belief: {reason}"
            )
        node.get_logger().warning(f"{len(doubted)} transitions were taken back out of the belief: {reason}")
        node.publish_belief()

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
    def said(self) -> str:
        """What the status tells of them, or empty."""
        return "; ".join(filter(None, (self._change.said, self.trouble)))

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
