# SPDX-License-Identifier: Apache-2.0
"""Writes the fault report as JSON and as Markdown; a row that was not run again stays as it was."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.rows import NOT_COVERED, ROWS, Row, Uncovered
from tests.faults.tally import Tally

Fields = Mapping[str, Any]
_NEVER_RUN = "no run so far"


@dataclass(frozen=True)
class Result:
    """What became of one row."""

    row: Row
    tally: Tally
    seconds: float

    def to_dict(self, machine: Fields) -> dict[str, Any]:
        """The row as a JSON object; `machine` as `benchmarks.report.describe_machine` gives it."""
        tally, times = self.tally, self.tally.percentiles_ms()
        return {
            "row": self.row.number,
            "fault": self.row.fault,
            "promise": self.row.promise,
            "how": self.row.how,
            "cases": tally.cases,
            "failures": tally.failures,
            "allowed_share": tally.allowed_share,
            "upper_bound_95": tally.bound() if tally.cases else None,
            "latency_ms": None if times is None else dict(zip(("p50", "p99", "max"), times, strict=True)),
            "measured": tally.measured,
            "held": tally.held,
            "first_failures": tally.complaints,
            "not_reached": tally.unmet,
            "cause": self.row.cause if not tally.held else "",
            "seconds": round(self.seconds, 1),
            "cpu_model": machine["cpu_model"],
            "commit": machine["commit"],
            "nice": machine.get("nice", 0),
            "load_average": machine["load_average"][0],
            "written": machine["measured"],
        }


def update(path: Path, results: Sequence[Result], about: Mapping[str, Any]) -> dict[str, Any]:
    """Writes results into the report at `path`, beside those of rows that were not run, and gives the report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # rows may be run side by side
        rows = _merged(path, [result.to_dict(about["machine"]) for result in results])
        report = {**about, "rows": rows, "not_covered": _uncovered_rows(rows)}
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def _merged(path: Path, new: Sequence[Fields]) -> list[Fields]:
    """The rows in their order, those of the file replaced by new ones."""
    old = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    known = {row["row"]: row for row in (*old, *new)}
    return [known[row.number] for row in ROWS if row.number in known]


def _uncovered_rows(rows: Sequence[Fields]) -> list[Fields]:
    run = {row["row"] for row in rows}
    never = [Uncovered(row.number, row.fault, _NEVER_RUN) for row in ROWS if row.number not in run]
    return [vars(item) for item in (*never, *NOT_COVERED)]


def markdown(report: Mapping[str, Any]) -> str:
    """The report as the page that people read."""
    machine, rows, missing = report["machine"], report["rows"], report["not_covered"]
    loads = [row["load_average"] for row in rows]
    commits = sorted({row["commit"][:12] + row["commit"][40:] for row in rows})
    lines = [
        "# Fault report",
        "",
        f"Written by `make fault-report`, last on {machine['measured']}, commit {', '.join(commits)}: do not edit.",
        "Each row injects a fault again and again and counts how often the promise was broken. The bound is the",
        "largest failure rate that so many cases leave possible with 95 % confidence (exact binomial). Latencies",
        "are in milliseconds. What is promised and what is not: [safety](safety.md).",
        "",
        f"Machine: {_processors(rows, machine['cpu_model'])}, {machine['cpus_usable']} cores, "
        f"{machine['memory_gib']:g} GiB, {machine['system']}, Python {machine['python']}, no real-time kernel.",
        f"Other programs ran beside it: load average {min(loads):.1f} to {max(loads):.1f} on "
        f"{machine['cpus_usable']} cores, given for each row.{_priority(rows)}",
        "A row in real time that was not held under a load above the number of cores says what was reached there,",
        "not what an idle robot computer reaches.",
        "",
        "| row | fault | promise | how | cases | failures | 95 % bound | p50 / p99 / max | load | held |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_line(row) for row in rows),
        *(_line_without_run(item) for item in missing if item["why"] == _NEVER_RUN),
        "",
        *_measured(rows),
        *_missed(rows),
        *_uncovered(missing),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _processors(rows: Sequence[Fields], latest: str) -> str:
    """The processor of most rows, and which rows ran on another one; `latest` where a row does not tell."""
    rows_of: dict[str, list[str]] = {}
    for row in rows:
        rows_of.setdefault(row.get("cpu_model", latest), []).append(row["row"])
    usual = max(rows_of, key=lambda model: len(rows_of[model]), default=latest)
    others = [f"{model} for {', '.join(rows_of[model])}" for model in rows_of if model != usual]
    return f"{usual} ({'; '.join(others)})" if others else usual


def _priority(rows: Sequence[Fields]) -> str:
    nice = sorted({row.get("nice", 0) for row in rows if "real time" in row["how"]})
    if not any(nice):
        return ""
    return f" All processes of the rows in real time had the priority nice {' or '.join(map(str, nice))}."


def _line(row: Fields) -> str:
    times = row["latency_ms"]
    shown = "" if times is None else " / ".join(f"{times[name]:.3g}" for name in ("p50", "p99", "max"))
    bound = "" if row["upper_bound_95"] is None else f"{100 * row['upper_bound_95']:.2g} %"
    held = "yes" if row["held"] else "**no**"
    return (
        f"| {row['row']} | {row['fault']} | {row['promise']} | {row['how']} | {row['cases']:,} "
        f"| {row['failures']:,} | {bound} | {shown} | {row['load_average']:.0f} | {held} |"
    )


def _line_without_run(item: Fields) -> str:
    return f"| {item['number']} | {item['fault']} | {_NEVER_RUN} | | 0 | | | | | **no** |"


def _measured(rows: Sequence[Fields]) -> list[str]:
    lines = []
    for row in rows:
        if row["measured"]:
            figures = "; ".join(f"{name} {_number(value)}" for name, value in row["measured"].items())
            lines.append(f"- Row {row['row']}: {figures}.")
    return ["## Also measured", "", *lines, ""] if lines else []


def _missed(rows: Sequence[Fields]) -> list[str]:
    lines = []
    for row in rows:
        if row["held"] and not row["failures"]:
            continue
        lines += [f"### Row {row['row']}", ""]
        lines += [f"- {sentence}" for sentence in (*row["not_reached"], *row["first_failures"])]
        lines += ["", *([row["cause"], ""] if row["cause"] else [])]
    return ["## Figures not reached, and single failures", "", *lines] if lines else []


def _uncovered(missing: Sequence[Fields]) -> list[str]:
    parts = [item for item in missing if item["why"] != _NEVER_RUN]
    if not parts:
        return []
    return [
        "## Not covered",
        "",
        "What no row counts a case of, and why. A test that holds it anyway is named.",
        "",
        *(f"- Row {item['number']}, {item['fault']}: {item['why']}." for item in parts),
    ]


def _number(value: Any) -> str:
    return (
        f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )
