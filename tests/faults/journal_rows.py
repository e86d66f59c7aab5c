# SPDX-License-Identifier: Apache-2.0
"""Row 11 for the journal: its disk takes no more while the hand moves."""

from __future__ import annotations

import resource
from itertools import pairwise
from pathlib import Path

import numpy as np
from pitaya_msgs.msg import PolicyStatus

from tests.faults.live import Live, graph
from tests.faults.tally import Tally

LONGEST_FLAG_S, LONGEST_HEAL_S = 1.0, 5.0
_PERIOD_S = 0.1
_SAID = "is not written"


def full_disk(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 11 b: each case is a while in which the policy process may not make any file longer."""
    tally, journal = Tally(), folder / "journal"
    settings = {"policy_node": {"plant_timeout_s": 60.0, "reward_timeout_s": 1.0, "journal": str(journal)}}
    with graph(folder, settings) as live:
        live.act()
        process = live.child("policy_node").process.pid
        live.probe.until(lambda: list(journal.glob("*.sqlite-wal")))
        wal = next(journal.glob("*.sqlite-wal"))
        for index in range(cases):
            live.probe.spin(float(generator.uniform(0.3, 0.8)))
            live.forget()
            resource.prlimit(process, resource.RLIMIT_FSIZE, (wal.stat().st_size, resource.RLIM_INFINITY))
            failed_ns = live.probe.get_clock().now().nanoseconds
            complaint, latency_s = _told(live, failed_ns)
            complaint = complaint or _goes_on(live)
            resource.prlimit(process, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            complaint = complaint or _heals(live)
            tally.case(complaint and f"case {index}: {complaint}", latency_s=latency_s)
    return tally


def _told(live: Live, failed_ns: int) -> tuple[str, float | None]:
    statuses = live.heard["policy_node/status"]
    wanted = lambda: [s for s in statuses if s.sent_ns > failed_ns and _SAID in s.message.reason]  # noqa: E731
    try:
        told = live.probe.until(wanted, 10.0)[0]
    except TimeoutError:
        return "the status never told of it", None
    latency_s = 1e-9 * (told.sent_ns - failed_ns)
    if told.message.mode != PolicyStatus.ACTIVE:
        return f"the mode became {told.message.mode}", latency_s
    return (f"told only after {latency_s:.2f} s" if latency_s > LONGEST_FLAG_S else ""), latency_s


def _goes_on(live: Live) -> str:
    """Commands go on on the policy's grid."""
    begun = len(live.heard["joint_command"])
    live.probe.spin(1.0)
    stamps = [item.stamp_ns for item in live.heard["joint_command"][begun:]]
    missed = sum(round(1e-9 * (b - a) / _PERIOD_S) - 1 for a, b in pairwise(stamps))
    if len(stamps) < 3:
        return f"only {len(stamps)} commands in a second"
    return f"{missed} ticks were missed meanwhile" if missed > 0 else ""


def _heals(live: Live) -> str:
    statuses = live.heard["policy_node/status"]
    begun = len(statuses)
    try:
        live.probe.until(lambda: any(_SAID not in s.message.reason for s in statuses[begun:]), LONGEST_HEAL_S)
    except TimeoutError:
        return f"still not written {LONGEST_HEAL_S:g} s after there was room again"
    return ""
