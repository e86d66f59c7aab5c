# SPDX-License-Identifier: Apache-2.0
"""How long this machine keeps a program waiting that does nothing but sleep.

`python -m benchmarks.stalls [--seconds 60] [--realtime-priority 20]` runs one sleeper per processor and prints how
often and how long each of them woke too late. No program that has deadlines can keep more of them than these.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

STEP_S = 0.001
STALL_S = 0.002
"""What counts as a stall: more than another program's turn of work on the same processor takes."""


class Stall(NamedTuple):
    """A processor ran nothing from when a sleeper should have woken to when it did, on the monotonic clock [s]."""

    due_s: float
    woke_s: float
    processor: int


class Sleepers:
    """One sleeping program per processor, and what they noticed once they have ended.

    Attributes:
        stalls: By time; complete when `stalls_noticed` has ended.
    """

    def __init__(self) -> None:
        """Nothing is noticed yet."""
        self.stalls: list[Stall] = []

    def overlapping(self, begin_s: float, end_s: float) -> bool:
        """Whether some processor stood still at a time between these two."""
        return any(stall.due_s < end_s and stall.woke_s > begin_s for stall in self.stalls)

    def longer_than(self, limit_s: float) -> int:
        """How many stalls were longer than that."""
        return sum(stall.woke_s - stall.due_s > limit_s for stall in self.stalls)


@contextmanager
def stalls_noticed(realtime_priority: int = 0) -> Iterator[Sleepers]:
    """Lets sleepers run while the body does.

    Args:
        realtime_priority: Theirs, under SCHED_FIFO; 0 for ordinary programs.
    """
    found = Sleepers()
    processors = sorted(os.sched_getaffinity(0))
    words = [sys.executable, "-m", "benchmarks.stalls", "--realtime-priority", str(realtime_priority)]
    children = [
        subprocess.Popen([*words, "--processor", str(number)], stdout=subprocess.PIPE, text=True)
        for number in processors
    ]
    try:
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()  # it sleeps now
        yield found
    finally:
        for child in children:
            child.send_signal(signal.SIGTERM)
        for child in children:
            found.stalls += [Stall(*row) for row in json.loads(child.communicate()[0] or "[]")]
        found.stalls.sort()


def sleep_on(processor: int) -> list[Stall]:
    """Sleeps again and again on one processor until SIGTERM; gives every stall."""
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    os.sched_setaffinity(0, {processor})
    stalls = []
    # Before the word, or a stall that begins while the reader of the word takes this processor would go unnoticed.
    due_s = time.monotonic() + STEP_S
    print("asleep", flush=True)
    finished = False
    while not finished:
        finished = bool(ended)  # then one look more, for a stall that began since the last
        time.sleep(STEP_S)
        woke_s = time.monotonic()
        if woke_s - due_s > STALL_S:
            stalls.append(Stall(due_s, woke_s, processor))
        # From the last look at the clock on, or a stall between two looks would go unnoticed.
        due_s = woke_s + STEP_S
    return stalls


def summary(found: Sleepers) -> dict[str, Any]:
    """The fields of a report."""
    return {
        "stalls_over_2_ms": len(found.stalls),
        "stalls_over_4_ms": found.longer_than(0.004),
        "stalls_over_10_ms": found.longer_than(0.010),
        "largest_ms": round(max((1e3 * (s.woke_s - s.due_s) for s in found.stalls), default=0.0), 2),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stalls", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--realtime-priority", type=int, default=0, help="of the sleepers, under SCHED_FIFO")
    parser.add_argument("--processor", type=int, help="be the sleeper of this one, until SIGTERM")
    options = parser.parse_args(arguments)
    if options.processor is None:
        with stalls_noticed(options.realtime_priority) as found:
            time.sleep(options.seconds)
        print(json.dumps(summary(found), indent=1))
        return 0
    if options.realtime_priority:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(options.realtime_priority))
    print(json.dumps(sleep_on(options.processor)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
