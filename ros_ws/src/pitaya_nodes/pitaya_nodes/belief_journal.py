# SPDX-License-Identifier: Apache-2.0
"""Keeps the policy node's journal: what to write when, what comes back after a crash, what to tell about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from meta_rl_core.belief import TaskBelief
from meta_rl_core.runtime.admission import Admitted, Refused
from meta_rl_core.runtime.journal import Journal
from meta_rl_core.runtime.journal_file import Owner
from meta_rl_core.runtime.journal_open import open_journal
from meta_rl_core.runtime.journal_rows import RESTORED, Adaptation, Earlier, Record
from pitaya_nodes.goals import AdaptGoal

if TYPE_CHECKING:
    from pitaya_nodes.policy_node import PolicyNode

_LONGEST_SEED = 2**63 - 1


class BeliefJournal:
    """The journal of one policy node; without a folder, all of this does nothing.

    Attributes:
        restored: What came back when the node was configured, in one sentence, or empty.
    """

    def __init__(self, node: PolicyNode) -> None:
        """Adds its line to the node's diagnostics; nothing is open."""
        self._node = node
        self._journal: Journal | None = None
        self._was_in_trouble = False
        self._unfinished = False
        self.restored = ""
        self._recent: list[tuple[Earlier, TaskBelief]] = []
        node.diagnostics.add(self._line)

    def open(self) -> None:
        """Opens the journal that the parameters name; an interrupted run's belief comes back to the bit.

        Raises:
            JournalError: If the journal must not be used.
            PitayaError: If what it holds does not fit the policy.
        """
        node, self.restored, self._unfinished, self._recent = self._node, "", False, []
        if not node.value("journal"):
            return
        owner = Owner(
            node.bundle.hash, node.value("hardware_fingerprint"), node.bundle.manifest.prior_in_product
        )
        name = node.get_fully_qualified_name().strip("/").replace("/", ".")
        path = Path(node.value("journal")).expanduser().absolute() / f"{name}.sqlite"
        self._journal, restored = open_journal(path, owner, restore=node.value("journal_restore"))
        if restored is None:
            return
        for state in restored.earlier:
            node.adapter.restore(state.state)
            self._recent.append((state, node.adapter.belief))
        node.adapter.restore(restored.state)
        node.belief_episode, node.belief_stamp_ns = restored.episode, restored.stamp_ns
        whose = "a finished" if restored.ended else "an interrupted"
        self.restored = f"the belief of {whose} adaptation is back with {restored.transitions} transitions"
        if restored.skipped:
            self.restored += f"; {restored.skipped} later records are damaged and were left out"
        node.get_logger().warning(f"{self.restored}, from {path}")
        self._unfinished = not restored.ended

    def tell_recent(self) -> None:
        """Tells what entered the restored belief last, so that it can be taken back if the gate doubts it."""
        if self._recent:
            (first, base), *later = self._recent
            entered = [(state.item, belief) for state, belief in later if state.item is not None]
            self._node.transitions.restored(base, first.stamp_ns, entered)

    def close(self) -> None:
        """Writes what waits. An adaptation that has not ended is to be restored, anything else is over."""
        journal, self._journal = self._journal, None
        if journal is not None and not journal.close(None if self._unfinished else "closed"):
            self._node.get_logger().error(f"the journal was closed with losses: {journal.trouble}")

    def begin_goal(self, goal: AdaptGoal) -> None:
        """Notes what a goal asks for and the state it begins with."""
        self._unfinished = True
        if self._journal is not None:
            self._journal.begin(
                Adaptation(
                    goal.seed & _LONGEST_SEED,
                    goal.sampling,
                    goal.exploration_episodes,
                    goal.episodes,
                    goal.steps,
                    goal.reset_belief,
                )
            )
            self.note("begin")

    def replaced(self, event: str) -> None:
        """Keeps the present state, which somebody has put in place of what was learnt."""
        self._unfinished = False
        self.note(event)

    def took_back(self) -> None:
        """Keeps the state without what was taken back; an adaptation that a kill interrupted is still interrupted."""
        self.note(RESTORED if self._unfinished and not self._node.goal_runs else "doubt")

    def note(self, event: str) -> None:
        """Keeps the present state."""
        if self._journal is not None:
            node = self._node
            step = 0 if node.episode is None else node.episode.step
            self._journal.note(
                Record(event, node.belief_episode, step, node.belief_stamp_ns, node.adapter.snapshot())
            )

    def observed(self, item: Admitted) -> None:
        """Keeps a transition that has entered the belief, and the state after it."""
        if self._journal is not None:
            node = self._node
            self._journal.note(
                Record(
                    "transition",
                    node.belief_episode,
                    item.step,
                    item.stamp_ns,
                    node.adapter.snapshot(),
                    item.transition,
                )
            )

    def refused(self, refused: Refused) -> None:
        """Keeps why a transition did not count."""
        if self._journal is not None:
            self._journal.refuse(refused)

    def end_goal(self, outcome: str) -> None:
        """Notes how a goal ended."""
        self._unfinished = False
        if self._journal is not None:
            self._journal.end(outcome)

    def settled(self) -> bool:
        """Whether everything is on disk, or there is no journal."""
        return self._journal is None or self._journal.settled

    @property
    def trouble(self) -> str:
        """Why records do not reach the disk, or empty."""
        return "" if self._journal is None else self._journal.trouble

    def check(self) -> None:
        """Lets the status follow when trouble came or went."""
        in_trouble = bool(self.trouble)
        if in_trouble != self._was_in_trouble:
            self._was_in_trouble = in_trouble
            if in_trouble:
                self._node.get_logger().error(self.trouble)
            else:
                self._node.get_logger().info("the journal is written again")
            self._node.report_again()

    def _line(self) -> DiagnosticStatus:
        self.check()
        status = DiagnosticStatus(name="journal", level=DiagnosticStatus.OK, message="no journal is kept")
        journal = self._journal
        if journal is None:
            return status
        status.message = journal.trouble or "ok"
        if journal.trouble or journal.lost:
            status.level = DiagnosticStatus.WARN
        counts = {"written": journal.written, "waiting": journal.waiting, "lost": journal.lost}
        status.values = [
            KeyValue(key="path", value=str(journal.path)),
            *(KeyValue(key=key, value=str(count)) for key, count in counts.items()),
        ]
        return status
