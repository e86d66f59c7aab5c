# SPDX-License-Identifier: Apache-2.0
"""Runs the rows of the fault report; `make fault-report` calls it."""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.report import describe_machine
from tests.faults.report import Result, markdown, update
from tests.faults.rows import SIZES, Row, find
from tests.faults.tally import Tally

REPOSITORY = Path(__file__).resolve().parents[2]
LONGEST_S = {"full": 4 * 3600.0, "quick": 150.0, "short": 150.0}
"""How long rows that share a function may take, by size of the report [s]; then they count as broken."""
_GRACE_S = 45.0


def run_apart(rows: Sequence[Row], cases: int, seed: int, longest_s: float) -> list[Result]:
    """As `run_rows`, in a process of its own: one that crashes or hangs costs its own rows and no others.

    Args:
        rows: What to inject.
        cases: How many times.
        seed: Decides every random choice.
        longest_s: After so long the process is interrupted, and killed if that does not help [s].
    """
    context = multiprocessing.get_context("fork")  # all is imported already
    answers, answer = context.Pipe(duplex=False)
    started_s = time.monotonic()
    child = context.Process(target=lambda: answer.send(run_rows(rows, cases, seed)))
    gc.collect()
    gc.freeze()  # the child must not take apart what belongs to DDS threads that it does not have
    try:
        child.start()
    finally:
        gc.unfreeze()
    answer.close()
    found: list[Result] | None = None
    try:
        if answers.poll(longest_s):
            found = answers.recv()
    except EOFError:
        pass
    finally:
        _end(child, time.monotonic() - started_s < longest_s)
    if found is not None:
        return found
    took_s = time.monotonic() - started_s
    why = (
        f"it ended with status {child.exitcode}"
        if took_s < longest_s
        else f"it took more than {longest_s:g} s"
    )
    return [Result(row, _broken(RuntimeError(why)), took_s) for row in rows]


def _end(child: multiprocessing.process.BaseProcess, in_time: bool) -> None:
    """Waits for a process that is done; interrupts one that is not, so that it ends its nodes."""
    child.join(_GRACE_S if in_time else 0.0)
    if child.is_alive() and child.pid is not None:
        os.kill(child.pid, signal.SIGINT)
        child.join(_GRACE_S)
    if child.is_alive():
        child.kill()
        child.join()


def run_rows(rows: Sequence[Row], cases: int, seed: int) -> list[Result]:
    """Injects the fault of rows that share a function; a harness that breaks counts as failed rows.

    Args:
        rows: What to inject.
        cases: How many times.
        seed: Decides every random choice; functions do not share their streams.
    """
    generator = np.random.default_rng([seed, *rows[0].run.encode()])
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pitaya-faults-", ignore_cleanup_errors=True) as folder:
        try:
            found = rows[0].function()(cases, generator, Path(folder))
            tallies = found if isinstance(found, dict) else {row.number: found for row in rows}
        except Exception as error:
            traceback.print_exc()
            tallies = {row.number: _broken(error) for row in rows}
    took_s = time.monotonic() - started_s
    return [Result(row, tallies[row.number], took_s) for row in rows]


def _broken(error: Exception) -> Tally:
    tally = Tally()
    said = str(error).replace(f"{REPOSITORY}/", "").replace(tempfile.gettempdir(), "")
    tally.demand(False, f"the row could not be run to its end: {type(error).__name__}: {said}")
    return tally


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; status 0 if every promise that was tested was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="full", help="how many cases per row")
    parser.add_argument("--cases", type=int, default=0, help="so many cases instead")
    parser.add_argument("--rows", nargs="*", default=[], help="only these rows, such as 2 or '12 a'")
    parser.add_argument("--seed", type=int, default=0, help="decides every random choice")
    parser.add_argument(
        "--json", type=Path, default=Path("build/fault_report.json"), help="everything counted"
    )
    parser.add_argument("--markdown", type=Path, default=Path("build/fault_report.md"), help="the table")
    options = parser.parse_args(arguments)
    results = []
    for rows in grouped(find(options.rows), options.size):
        cases = options.cases or rows[0].count(options.size)
        found = run_apart(rows, cases, options.seed, LONGEST_S[options.size])
        results += found
        for result in found:
            print(progress(result), flush=True)
        about = {
            "seed": options.seed,
            "machine": {**describe_machine(), "nice": os.nice(0)},
        }
        # After every row, so that a run that is cut short leaves what it found.
        report = update(options.json, found, about)
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text(markdown(report), encoding="utf-8")
    print(f"written: {options.json}, {options.markdown}")
    return 0 if all(result.tally.held for result in results) else 1


def grouped(rows: Sequence[Row], size: str) -> list[list[Row]]:
    """Rows that have cases in this size, together with those that share their function."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.count(size):
            groups.setdefault(row.run, []).append(row)
    return list(groups.values())


def progress(result: Result) -> str:
    """One line about a row."""
    tally = result.tally
    verdict = "held" if tally.held else "NOT HELD"
    detail = "; ".join([*tally.unmet, *tally.complaints][:2])
    return (
        f"row {result.row.number}: {verdict}, {tally.cases} cases, {tally.failures} failures, "
        f"{result.seconds:.0f} s{': ' + detail if detail else ''}"
    )


if __name__ == "__main__":
    sys.exit(main())
