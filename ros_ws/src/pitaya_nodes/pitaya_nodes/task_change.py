# SPDX-License-Identifier: Apache-2.0
"""What the policy node does when its task has changed: keep the former belief, begin anew, say so."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from meta_rl_core.errors import PitayaError
from meta_rl_core.runtime.adapter_state import AdapterState, state_to_dict
from meta_rl_core.runtime.admission import Admitted
from meta_rl_core.runtime.change_watch import ChangeWatch
from meta_rl_core.runtime.state_file import write_state

if TYPE_CHECKING:
    from pitaya_nodes.policy_node import PolicyNode


class TaskChange:
    """Watches every transition of one policy node after it has entered the belief.

    Attributes:
        said: That the task has changed during this goal, in one sentence, or empty.
    """

    def __init__(self, node: PolicyNode) -> None:
        """Adds its line to the node's diagnostics; nothing is watched before `open`."""
        self._node = node
        self._watch: ChangeWatch | None = None
        self._why_not, self.said = "not configured", ""
        self._changes, self._trouble = 0, ""
        node.diagnostics.add(self._line)

    def open(self) -> None:
        """Gets ready for the bundle of a node that is being configured; says once if it cannot tell."""
        node = self._node
        self._watch, self._why_not, self.said = None, "", ""
        self._changes, self._trouble = 0, ""
        if not node.value("watch_task"):
            self._why_not = "not watched: watch_task is false"
        elif not node.bundle.manifest.change:
            self._why_not = (
                "not watched: the bundle cannot tell that its task has changed (`pitaya fit-change`)"
            )
            node.get_logger().info(self._why_not)
        else:
            self._watch = ChangeWatch(
                node.bundle, node.adapter.belief, float(node.value("change_alarm")) or None
            )

    def begin(self) -> None:
        """A goal begins: what it begins with is believed."""
        self.said = ""
        self.believe()

    def believe(self) -> None:
        """Goes on with the present belief: what was seen so far is forgotten."""
        if self._watch is not None:
            self._watch.begin(self._node.adapter.belief)

    def observed(self, item: Admitted) -> None:
        """Takes a transition that has entered the belief; after a change the belief is the prior."""
        watch, adapter = self._watch, self._node.adapter
        if watch is None:
            return
        try:
            changed = watch.observed(item.transition, adapter.belief)
        except PitayaError as error:
            self._trouble = str(error)
            return
        if changed:
            self._begin_anew(watch)

    def _begin_anew(self, watch: ChangeWatch) -> None:
        node = self._node
        kept = self._keep(replace(node.adapter.snapshot(), belief=watch.judged_by))
        self.said = (
            f"the task has changed, by {watch.strength:.1f} nat of evidence in {watch.doubted} transitions: the belief "
            f"is the prior again and the next episodes explore; {kept}"
        )
        self._changes += 1
        node.adapter.forget_task()
        node.belief_episode = -1
        node.journal.note("change")
        watch.begin(node.adapter.belief)
        node.get_logger().warning(self.said)
        node.publish_belief()
        node.report_again()

    def _keep(self, state: AdapterState) -> str:
        """Writes the former belief beside the journal, on a thread of its own; what to tell of it."""
        node = self._node
        if not node.value("journal"):
            return "no journal is kept, so the former belief is gone"
        name = node.get_fully_qualified_name().strip("/").replace("/", ".")
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        folder = Path(node.value("journal")).expanduser().absolute()
        path = folder / f"{name}.before_change_{stamp}_{self._changes}.json"
        threading.Thread(target=self._write, args=(path, state), name="former belief", daemon=True).start()
        return f"the former one goes to {path}"

    def _write(self, path: Path, state: AdapterState) -> None:
        try:
            write_state(path, state_to_dict(state))
        except PitayaError as error:
            self._trouble = f"the former belief is lost: {error}"

    def _line(self) -> DiagnosticStatus:
        message = self._trouble or self.said or self._why_not or "no change of the task"
        level = DiagnosticStatus.WARN if self._trouble or self.said else DiagnosticStatus.OK
        status = DiagnosticStatus(name="task", level=level, message=message)
        if self._watch is not None:
            values = {
                "changes": str(self._changes),
                "evidence_nat": f"{self._watch.evidence:.2f}",
                "alarm_nat": f"{self._watch.alarm:.2f}",
            }
            status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        return status
