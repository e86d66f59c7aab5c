# SPDX-License-Identifier: Apache-2.0
"""Writes the fault report as JSON and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.faults.rows import Row, Uncovered
from tests.faults.tally import Tally


@dataclass(frozen=True)
class Result:
    """What became of one row."""

    row: Row
    tally: Tally
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The row as a JSON object."""
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
        }


def write_json(
    path: Path, results: Sequence[Result], missing: Sequence[Uncovered], about: dict[str, Any]
) -> None:
    """Writes everything that was counted and measured."""
    rows = [result.to_dict() for result in results]
    content = {**about, "rows": rows, "not_covered": [asdict(item) for item in missing]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_markdown(
    path: Path, results: Sequence[Result], missing: Sequence[Uncovered], about: dict[str, Any]
) -> None:
    """Writes the table that people read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(markdown(results, missing, about), encoding="utf-8")


def markdown(results: Sequence[Result], missing: Sequence[Uncovered], about: dict[str, Any]) -> str:
    """The report as a page."""
    machine = about["machine"]
    lines = [
        "# Fault report",
        "",
        f"Written by `{about['command']}` on {machine['measured']}, commit `{machine['commit'][:12]}`: do not edit.",
        "Each row injects a fault again and again and counts how often the promise was broken. The bound is the",
        "largest failure rate that so many cases leave possible with 95 % confidence (exact binomial). Latencies are",
        "in milliseconds. What is promised and what is not: [safety](safety.md).",
        "",
        f"Machine: {machine['cpu_model']}, {machine['cpus_usable']} cores, {machine['memory_gib']:g} GiB, "
        f"{machine['system']}, Python {machine['python']}; no real-time kernel. "
        f"Load average at start {about['load_at_start']:.1f}, at the end {machine['load_average'][0]:.1f}.",
        "",
        "| row | fault | promise | how | cases | failures | 95 % bound | p50 / p99 / max | held |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(result) for result in results]
    lines += [f"| {item.number} | {item.fault} | not covered | | 0 | | | | no |" for item in missing]
    lines += ["", *_measured(results), *_missed(results), *_uncovered(missing)]
    return "\n".join(lines).rstrip() + "\n"


def _line(result: Result) -> str:
    row, tally = result.row, result.tally
    times = tally.percentiles_ms()
    shown = "" if times is None else " / ".join(f"{value:.3g}" for value in times)
    bound = f"{100 * tally.bound():.2g} %" if tally.cases else ""
    return (
        f"| {row.number} | {row.fault} | {row.promise} | {row.how} | {tally.cases:,} | {tally.failures:,} "
        f"| {bound} | {shown} | {'yes' if tally.held else '**no**'} |"
    )


def _measured(results: Sequence[Result]) -> list[str]:
    shown = [result for result in results if result.tally.measured]
    if not shown:
        return []
    lines = ["## Also measured", ""]
    for result in shown:
        figures = "; ".join(f"{name} {_number(value)}" for name, value in result.tally.measured.items())
        lines.append(f"- Row {result.row.number}: {figures}.")
    return [*lines, ""]


def _missed(results: Sequence[Result]) -> list[str]:
    lines = []
    for result in results:
        tally = result.tally
        if tally.held and not tally.failures:
            continue
        lines += ["", f"### Row {result.row.number}", ""]
        lines += [f"- {sentence}" for sentence in (*tally.unmet, *tally.complaints)]
        if not tally.held and result.row.cause:
            lines += ["", result.row.cause]
    return ["## Figures not reached, and single failures", *lines, ""] if lines else []


def _uncovered(missing: Sequence[Uncovered]) -> list[str]:
    if not missing:
        return []
    return ["## Not covered", "", *(f"- Row {item.number}, {item.fault}: {item.why}" for item in missing)]


def _number(value: Any) -> str:
    return (
        f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )
