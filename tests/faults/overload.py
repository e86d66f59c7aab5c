# SPDX-License-Identifier: Apache-2.0
"""Row 16: a hand moves in real time, with twice as many busy processes as processors, or with nothing beside it."""

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
THROUGH_S, JITTER_S = 0.01, 0.01
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


def processor_time() -> tuple[int, int]:
    """Time that this machine's processors were kept from it by the host of a virtual machine, and all of it [ticks].

    See proc_stat(5), `steal`.
    """
    name, *ticks = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()
    assert name == "cpu"
    counts = [int(number) for number in ticks[:8]]  # what follows is counted within these already
    return counts[7], sum(counts)


def _compute() -> None:
    value = 1
    while True:
        value = value * 48271 % 2147483647


def oversubscribed(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 16 a: each case is one policy tick, missed if no command answers it within a period of the state."""
    del generator
    tally = Tally(allowed_share=ALLOWED_SHARE)
    _run(cases, folder, tally, 2 * len(os.sched_getaffinity(0)))
    return tally


def idle(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 16 b: the same without them; the times have bounds."""
    del generator
    tally = Tally()
    through_s = _run(cases, folder, tally, 0)
    took_s = np.array([through_s[stamp_ns] for stamp_ns in sorted(through_s)])
    jitter_s = float(np.quantile(np.abs(np.diff(took_s)), 0.999))
    late_s = float(np.quantile(took_s, 0.99))
    tally.measured["from one command to the next sooner or later by, p99.9 [ms]"] = 1e3 * jitter_s
    tally.demand(late_s <= THROUGH_S, f"{1e3 * late_s:.1f} ms from a state to the gate's command (p99)")
    tally.demand(jitter_s <= JITTER_S, f"{1e3 * jitter_s:.1f} ms sooner or later than the one before (p99.9)")
    return tally


def _run(cases: int, folder: Path, tally: Tally, load: int) -> dict[int, float]:
    """Counts ticks beside so many busy processes; gives the times of `_through_s`."""
    through_s: dict[int, float] = {}
    with graph(folder, {"policy_node": {"plant_timeout_s": 60.0, "reward_timeout_s": 5.0}}) as live:
        live.act()
        live.forget()
        before = processor_time()
        with busy(load):
            live.probe.spin(1.0)
            live.forget()
            while tally.cases < cases:
                live.probe.spin(_BLOCK_S)
                through_s |= _through_s(live)
                _count_ticks(live, tally)
    stolen, counted = (after - earlier for after, earlier in zip(processor_time(), before, strict=True))
    late_ms = 1e3 * float(np.quantile(list(through_s.values()), 0.99))
    tally.measured = {
        "busy processes": load,
        "processors": len(os.sched_getaffinity(0)),
        "from a state through policy, gate and filter to the gate's command, p99 [ms]": late_ms,
        "processor time that a virtual machine's host gave to others [%]": 100.0 * stolen / max(counted, 1),
    }
    return through_s


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
