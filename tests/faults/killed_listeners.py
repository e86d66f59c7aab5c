# SPDX-License-Identifier: Apache-2.0
"""Row 8 c: a process that only listens is killed, and nobody who speaks to it may be held up."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.faults.live import Live, graph, tool
from tests.faults.tally import Tally

LONGEST_GAP_S = 0.5
_AT_ONCE, _WATCH_S = 8, 0.6
_TOPICS = ("joint_states", "joint_command", "executed_command")


def killed_listeners(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 8 c: kill -9 at a random moment of one of eight listeners after the other; then eight new ones."""
    tally = Tally()
    with graph(folder, {"policy_node": {"plant_timeout_s": 60.0}}) as live:
        goal = live.act()
        while tally.cases < cases:
            names = {f"listener_{tally.cases + index}" for index in range(_AT_ONCE)}
            ears = [tool(live, "listener", name) for name in sorted(names)]
            live.probe.until(lambda names=names: names <= _listening(live))
            if live.faults():
                live.clear(goal)
                goal = live.act()
            for ear in ears:
                live.probe.spin(float(generator.uniform(0.2, 0.3)))
                live.forget()
                ear.process.kill()
                live.probe.spin(_WATCH_S)
                gap_s, topic = max((live.longest_gap_s(topic), topic) for topic in _TOPICS)
                complaint = f"kill {tally.cases}: nothing on {topic} for {gap_s:.2f} s"
                tally.case(complaint if gap_s > LONGEST_GAP_S else "", latency_s=gap_s)
                live.processes.children.remove(ear)
    return tally


def _listening(live: Live) -> set[str]:
    """Names of the nodes that listen to joint states; those that were killed stay among them for a while."""
    return {info.node_name for info in live.probe.get_subscriptions_info_by_topic("joint_states")}
