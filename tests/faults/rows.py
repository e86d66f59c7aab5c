# SPDX-License-Identifier: Apache-2.0
"""The rows of the report: each a promise with its figure, how many cases, and who injects the fault."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.faults.tally import Tally

Run = Callable[[int, np.random.Generator, Path], Tally]
VIRTUAL, REAL_TIME, LOCK_STEP, FILES = "virtual time", "processes, real time", "processes, lock-step", "files"
SIZES = ("full", "quick", "short")


@dataclass(frozen=True)
class Row:
    """One promise.

    Attributes:
        number: Number in the list of promises, with a letter where there is more than one test.
        fault: What goes wrong.
        promise: What happens then, with the figure.
        how: Virtual time, files or real processes.
        run: `module:function` in this package, taking (cases, generator, empty folder).
        cases: How many cases, by size of the report; no cases leave the row out of that size.
        cause: Why the figure is out of reach where it is known to be; shown only if it was missed.
    """

    number: str
    fault: str
    promise: str
    how: str
    run: str
    cases: tuple[int, int, int]
    cause: str = ""

    def function(self) -> Run:
        """The function that injects the fault."""
        module, _, name = self.run.partition(":")
        return getattr(importlib.import_module(f"tests.faults.{module}"), name)

    def count(self, size: str) -> int:
        """Number of cases of a size."""
        return self.cases[SIZES.index(size)]


@dataclass(frozen=True)
class Uncovered:
    """A promise that nothing here tests yet."""

    number: str
    fault: str
    why: str


#   number, fault, promise, how, function, (full, quick, short) cases
ROWS: Sequence[Row] = (
    Row(
        "2",
        "NaN, infinity, huge numbers, wrong names, lengths and stamps in any message",
        "refused; no non-finite command or belief, no exception, at policy and gate",
        VIRTUAL,
        "hostile_messages:fuzzed_messages",
        (1_000_000, 100_000, 2_000),
    ),
    Row(
        "3",
        "joint names permuted, extra, missing, repeated; lengths wrong",
        "permuted or with extra joints: the same action to the bit; otherwise refused by name",
        VIRTUAL,
        "hostile_messages:renamed_joints",
        (10_000, 10_000, 500),
    ),
    Row(
        "4",
        "duplicated and reordered streams of states, commands and rewards",
        "each transition counts once; belief within 1e-6 of that of the clean stream",
        VIRTUAL,
        "streams:scrambled_streams",
        (1_000, 200, 10),
    ),
    Row(
        "6",
        "rewards late, missing, twice, out of order",
        "no reward serves a neighbour; what does not come within 2 T drops its own transition alone",
        VIRTUAL,
        "streams:late_rewards",
        (100_000, 20_000, 500),
    ),
    Row(
        "10",
        "kill -9 while a belief file is written",
        "the file is the old state or the new one, whole",
        FILES,
        "storage:kill_while_writing",
        (1_000, 200, 20),
    ),
    Row(
        "11",
        "disk full, file size limit, read-only folder while a belief file is written",
        "an error that says so; the old file stays whole, nothing is left behind",
        FILES,
        "storage:no_room",
        (1_000, 200, 20),
    ),
    Row(
        "12 a",
        "one bit of a bundle flipped",
        "refused within 2 s, or the manifest reads the same; never a crash",
        FILES,
        "checkpoints:flipped_bits",
        (10_000, 2_000, 50),
    ),
    Row(
        "12 b",
        "a bundle cut off at any length",
        "refused within 2 s; never a crash",
        FILES,
        "checkpoints:truncations",
        (100_000, 3_000, 50),
    ),
    Row(
        "13",
        "bundles, beliefs and bring-up files that carry code",
        "refused; no canary is touched",
        FILES,
        "checkpoints:malicious_files",
        (1_000, 1_000, 40),
    ),
    Row(
        "14",
        "parameters out of range, of the wrong type, not finite, or locked",
        "refused with a reason; no parameter changes, also none set along with it",
        "rclpy nodes in one process",
        "parameters:bad_parameters",
        (10_000, 2_000, 100),
    ),
    Row(
        "17",
        "8 hours at 10 Hz",
        "memory grows by at most 1 MiB per hour; belief mean within 1e-5 of exact sums",
        VIRTUAL,
        "endurance:accelerated_soak",
        (288_000, 72_000, 2_000),
    ),
)

NOT_COVERED: Sequence[Uncovered] = (
    Uncovered("1", "joint state stale or missing", "the test is still to be written"),
    Uncovered("5", "clock jumps, simulation resets", "the test is still to be written"),
    Uncovered("7", "controller inactive, motors do not follow", "the test is still to be written"),
    Uncovered("8", "policy process dies", "the test is still to be written"),
    Uncovered("9", "restart after a crash", "the test is still to be written"),
    Uncovered("15", "policy emits NaN, jumps, leaves limits", "the test is still to be written"),
    Uncovered("16", "processor overloaded", "the test is still to be written"),
    Uncovered("18", "valve or robot swapped", "nothing here detects a swap"),
    Uncovered("22", "DDS partition", "the test is still to be written"),
    Uncovered("23", "two commanders", "the test is still to be written"),
    Uncovered("24", "a lock-step run that does not repeat", "the test is still to be written"),
    Uncovered("25", "unauthorised peers", "the test is still to be written"),
)


def find(numbers: Sequence[str]) -> list[Row]:
    """Rows by number; `12` finds `12 a` and `12 b` too.

    Raises:
        ValueError: If there is no such row.
    """
    if not numbers:
        return list(ROWS)
    found = [row for row in ROWS if {row.number, row.number.split()[0]} & set(numbers)]
    unknown = set(numbers) - {row.number for row in found} - {row.number.split()[0] for row in found}
    if unknown:
        raise ValueError(
            f"no row {', '.join(sorted(unknown))}; there are {', '.join(r.number for r in ROWS)}"
        )
    return found
