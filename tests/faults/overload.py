# SPDX-License-Identifier: Apache-2.0
"""Row 16: twice as many busy processes as processors while a hand moves in real time."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.faults.live import Live, forwards, graph
from tests.faults.tally import Tally

ALLOWED_SHARE = 0.001
PERIOD_S = 0.1
_BLOCK_S = 5.0


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that do nothing but compute."""
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_compute, daemon=True) for _ in range(processes)]
    for child in children:
        child.start()
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.join()


def _compute() -> None:
    value = 1
    while True:
        value = value * 48271 % 2147483647


def oversubscribed(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 16: each case is one policy tick, missed if no command answers it within a period of the state."""
    del generator
    tally = Tally(allowed_share=ALLOWED_SHARE)
    load = 2 * len(os.sched_getaffinity(0))
    through_s: dict[int, float] = {}
    with graph(folder, {"policy_node": {"plant_timeout_s": 60.0, "reward_timeout_s": 5.0}}) as live:
        live.act()
        live.forget()
        with busy(load):
            live.probe.spin(1.0)
            live.forget()
            while tally.cases < cases:
                live.probe.spin(_BLOCK_S)
                through_s |= _through_s(live)
                _count_ticks(live, tally)
    late_ms = 1e3 * float(np.quantile(list(through_s.values()), 0.99))
    tally.measured = {
        "busy processes": load,
        "processors": len(os.sched_getaffinity(0)),
        "from a state through policy, gate and filter to the gate's command, p99 [ms]": late_ms,
    }
    return tally


def _through_s(live: Live) -> dict[int, float]:
    """How long after its state each command of the policy left the gate [s], by stamp [ns]."""
    states = {item.stamp_ns: item.sent_ns for item in live.heard["joint_states"]}
    commands = {item.stamp_ns: item for item in live.heard["joint_command"]}
    return {
        item.stamp_ns: 1e-9 * (item.sent_ns - states[item.stamp_ns])
        for item in live.heard["executed_command"]
        if item.stamp_ns in states and forwards(item, commands)
    }


def _count_ticks(live: Live, tally: Tally) -> None:
    """Ticks since the last command that was counted, by the stamps on the policy's grid."""
    states = {item.stamp_ns: item.sent_ns for item in live.heard["joint_states"]}
    former: int | None = None
    for command in live.heard["joint_command"]:
        if former is not None:
            for _ in range(round(1e-9 * (command.stamp_ns - former) / PERIOD_S) - 1):
                tally.case(
                    f"no command between stamps {1e-9 * former:.2f} s and {1e-9 * command.stamp_ns:.2f} s"
                )
            came_ns = states.get(command.stamp_ns)
            if came_ns is not None:
                took_s = 1e-9 * (command.sent_ns - came_ns)
                late = took_s > PERIOD_S
                tally.case(
                    f"a command came {1e3 * took_s:.0f} ms after its state" if late else "", latency_s=took_s
                )
        former = command.stamp_ns
    # The latest of each stays, so that no tick between two blocks is lost.
    kept_ns = former or 0
    for messages in live.heard.values():
        messages[:] = [item for item in messages if item.sent_ns and item.stamp_ns >= kept_ns]
