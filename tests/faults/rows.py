# SPDX-License-Identifier: Apache-2.0
"""The rows of the report: each a promise with its figure, how many cases, and who injects the fault."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from tests.faults.tally import Tally

Run = Callable[[int, np.random.Generator, Path], Tally | dict[str, Tally]]
TABLE = Path(__file__).with_name("rows.yaml")
SIZES = ("full", "quick", "short")


@dataclass(frozen=True)
class Row:
    """One promise.

    Attributes:
        number: Number in the list of promises, with a letter where there is more than one test.
        fault: What goes wrong.
        promise: What happens then, with the figure.
        how: Virtual time, files or real processes.
        run: `module:function` in this package, taking (cases, generator, empty folder). Rows that share one
            get their tallies from one call, by number.
        cases: How many cases, by size of the report; no cases leave the row out of that size.
        cause: Why the figure is out of reach where it is known to be; shown only if it was missed.
        fewer: Why the published report may have fewer cases than the full size asks for; empty if it may not.
    """

    number: str
    fault: str
    promise: str
    how: str
    run: str
    cases: Sequence[int]
    cause: str = ""
    fewer: str = ""

    def function(self) -> Run:
        """The function that injects the fault."""
        module, _, name = self.run.partition(":")
        return getattr(importlib.import_module(f"tests.faults.{module}"), name)

    def count(self, size: str) -> int:
        """Number of cases of a size."""
        return self.cases[SIZES.index(size)]


@dataclass(frozen=True)
class Uncovered:
    """A part of a promise of which no row counts a case, and why."""

    number: str
    fault: str
    why: str


_CONTENT = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
ROWS = tuple(Row(**fields) for fields in _CONTENT["rows"])
NOT_COVERED = tuple(Uncovered(**fields) for fields in _CONTENT["not_covered"] or ())


def find(numbers: Sequence[str]) -> list[Row]:
    """Rows by number, all without any; `12` finds `12 a` and `12 b`, `12a` the first.

    Raises:
        ValueError: If there is no such row.
    """
    if not numbers:
        return list(ROWS)
    wanted = {"".join(number.split()) for number in numbers}
    found = [row for row in ROWS if _spellings(row) & wanted]
    unknown = wanted.difference(*(_spellings(row) for row in found))
    if unknown:
        raise ValueError(
            f"no row {', '.join(sorted(unknown))}; there are {', '.join(r.number for r in ROWS)}"
        )
    return found


def _spellings(row: Row) -> set[str]:
    return {"".join(row.number.split()), row.number.split()[0]}
