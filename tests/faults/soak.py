# SPDX-License-Identifier: Apache-2.0
"""Row 17 in full: the whole graph in real time for hours; memory, files and threads of nodes; `make soak HOURS=8`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import write_report
from tests.faults.endurance import LARGEST_SLOPE_MIB, open_files, resident_mib, slope_per_hour, threads
from tests.faults.live import Live, graph

_NODES = ("policy_node", "command_gate", "reward_node", "sim_node")
_SAMPLE_S = 10.0
_TICKS_PER_S = 10
_WARM_UP_S = 600.0


def soak(hours: float, folder: Path) -> dict[str, Any]:
    """Runs one endless episode; gives memory slope, open files, threads and transitions.

    Args:
        hours: How long, by the steady clock.
        folder: Logs, policy and journal.
    """
    memory: dict[str, list[tuple[int, float]]] = {name: [] for name in _NODES}
    with graph(folder, {"policy_node": {"journal": str(folder / "journal")}}) as live:
        live.act()
        files, running = _of_each(live, open_files), _of_each(live, threads)
        began_s = time.monotonic()
        while (now_s := time.monotonic() - began_s) < 3600.0 * hours:
            live.probe.spin(_SAMPLE_S)
            live.forget()
            if now_s < min(_WARM_UP_S, 900.0 * hours):
                continue
            for name, samples in memory.items():
                samples.append((round(now_s * _TICKS_PER_S), resident_mib(_pid(live, name))))
        more_files = {name: count - files[name] for name, count in _of_each(live, open_files).items()}
        more_threads = {name: count - running[name] for name, count in _of_each(live, threads).items()}
        transitions = live.last("policy_node/belief").message.transitions
    slopes = {name: slope_per_hour(samples, warm_up_share=0.0) for name, samples in memory.items()}
    return {
        "benchmark": "soak",
        "hours": hours,
        "memory_slope_mib_per_hour": slopes,
        "more_open_files": more_files,
        "more_threads": more_threads,
        "transitions": transitions,
        "held": max(slopes.values()) <= LARGEST_SLOPE_MIB
        and max(more_files.values()) <= 2
        and max(more_threads.values()) <= 0,
    }


def _pid(live: Live, name: str) -> int:
    return live.child(name).process.pid


def _of_each(live: Live, count: Callable[[int], int]) -> dict[str, int]:
    return {name: count(_pid(live, name)) for name in _NODES}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; status 0 if memory, open files and threads stayed within bounds."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=8.0, help="how long")
    parser.add_argument("--json", type=Path, default=Path("build/soak.json"), help="file for the report")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="pitaya-soak-") as folder:
        results = soak(options.hours, Path(folder))
    write_report(options.json, results)
    print(json.dumps(results, indent=1))
    return 0 if results["held"] else 1


if __name__ == "__main__":
    sys.exit(main())
