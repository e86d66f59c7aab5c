# SPDX-License-Identifier: Apache-2.0
"""Every row of the fault report in its short form, and the arithmetic of the report."""

from __future__ import annotations

import gc
import json
import os
import signal
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="these tests start ROS nodes: run them with scripts/with_ros")

from pitaya_msgs.msg import JointCommand
from std_msgs.msg import Header

from pitaya_nodes import convert
from tests.faults import bounds
from tests.faults.__main__ import grouped, main, run_apart, run_rows
from tests.faults.dead_policy import last_passed
from tests.faults.live import Sent
from tests.faults.report import Result, markdown
from tests.faults.rows import NOT_COVERED, ROWS, Row, Run, find
from tests.faults.tally import Tally, upper_bound

SHORT = grouped(ROWS, "short")


@pytest.mark.flaky(reruns=1)
@pytest.mark.parametrize("rows", SHORT, ids=lambda rows: rows[0].run.partition(":")[2])
def test_the_promise_of_a_row_is_kept(rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    # Times by the wall clock, on a machine that others use too; the report holds them to the promise itself.
    monkeypatch.setattr(bounds, "factor", 2.0)
    for result in run_rows(rows, rows[0].count("short"), seed=1):
        assert result.tally.cases > 0
        assert result.tally.held, [*result.tally.unmet, *result.tally.complaints]


def test_every_row_is_there_once_and_runs_more_cases_the_longer_the_form() -> None:
    numbers = [row.number for row in ROWS]
    assert len(set(numbers)) == len(numbers)
    covered = {int(number.split()[0]) for number in (*numbers, *(item.number for item in NOT_COVERED))}
    assert covered == set(range(1, 27))
    for row in ROWS:
        full, quick, short = row.cases
        assert full >= quick >= short
        assert quick > 0
    assert [row.number for row in find(["12", "2a"])] == ["2 a", "12 a", "12 b"]
    with pytest.raises(ValueError, match="no row 99"):
        find(["99"])


def test_the_published_report_has_every_row_with_all_its_cases_or_it_is_said_why_there_are_fewer(
    repository: Path,
) -> None:
    report = json.loads((repository / "docs" / "fault_report.json").read_text(encoding="utf-8"))
    published = {row["row"]: row["cases"] for row in report["rows"]}
    assert list(published) == [row.number for row in ROWS], "run the rows that differ, see make fault-report"
    assert min(published.values()) > 0
    short = [row.number for row in ROWS if published[row.number] < row.count("full") and not row.fewer]
    assert not short, f"fewer cases than rows.yaml asks for, and no reason given there: rows {short}"


@pytest.mark.parametrize(
    ("cases", "failures", "bound"),
    [
        (60, 0, 0.0487),  # 1 - 0.05 ** (1 / 60)
        (300, 0, 0.00994),
        (1000, 0, 0.00299),
        (2, 1, 0.9747),  # at most 1 of 2 fails: 1 - p**2 = 0.05
        (5, 5, 1.0),
    ],
)
def test_the_bound_is_that_of_the_binomial_distribution(cases: int, failures: int, bound: float) -> None:
    assert upper_bound(cases, failures) == pytest.approx(bound, rel=1e-3)


def test_a_promise_is_kept_only_if_something_was_tried_and_nothing_is_unmet() -> None:
    tally = Tally()
    assert not tally.held
    tally.case(count=99)
    assert tally.held
    tally.case("case 99 fell over")
    assert not tally.held
    assert Tally(allowed_share=0.01, cases=100, failures=1).held
    assert not Tally(allowed_share=0.01, cases=100, failures=2).held
    assert not Tally(cases=100, unmet=["too slow"]).held


def test_the_page_names_what_was_missed_and_why() -> None:
    row = Row(
        "1", "a fault", "a promise", "somehow", "module:function", (1, 1, 1), cause="The machine is slow."
    )
    tally = Tally(allowed_share=0.1)
    tally.case(latency_s=0.001)
    tally.case("case 1: too late", latency_s=0.003)
    machine = {
        "measured": "now",
        "commit": "abc",
        "cpu_model": "x",
        "cpus_usable": 2,
        "memory_gib": 4,
        "system": "Linux",
        "python": "3.11",
        "load_average": [1.0],
    }
    rows = [Result(row, tally, 1.0).to_dict(machine)]
    missing = [{"number": "1", "fault": "a fault of the machine", "why": "there is no other machine"}]
    page = markdown({"machine": machine, "rows": rows, "not_covered": missing})
    assert "| 1 | a fault | a promise | somehow | 2 | 1 | 97 % | 2 / 2.98 / 3 | 1 | **no** |" in page
    assert "Machine: x, 2 cores" in page
    other = Result(replace(row, number="2"), tally, 1.0).to_dict({**machine, "cpu_model": "y"})
    assert "Machine: x (y for 2), 2 cores" in markdown(
        {"machine": machine, "rows": [*rows, other], "not_covered": missing}
    )
    assert "- case 1: too late" in page
    assert "The machine is slow." in page
    assert page.endswith("\n- Row 1, a fault of the machine: there is no other machine.\n")
    assert page.count("a fault of the machine") == 1, "only rows that have not been run stand in the table"


def test_a_row_that_breaks_down_is_reported_as_not_held() -> None:
    row = Row("1", "a fault", "a promise", "somehow", "module_that_is_not_there:function", (1, 1, 1))
    assert not run_rows([row], 1, seed=0)[0].tally.held


class _Broken(Row):
    """A row whose function takes its process with it, or never ends."""

    def function(self) -> Run:
        """What `run` names, of those below."""
        return {
            "crash": lambda *_: os.kill(os.getpid(), signal.SIGKILL),
            "hang": lambda *_: time.sleep(60.0),
            "collect": lambda *_: gc.collect(),
        }[self.run]  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("run", "longest_s", "said"),
    [("crash", 30.0, f"it ended with status {-signal.SIGKILL}"), ("hang", 0.5, "it took more than 0.5 s")],
)
def test_a_row_that_takes_its_process_down_or_hangs_costs_itself_alone(
    run: str, longest_s: float, said: str
) -> None:
    began_s = time.monotonic()
    (result,) = run_apart([_Broken("1", "fault", "promise", "how", run, (1, 1, 1))], 1, 0, longest_s)
    assert not result.tally.held
    assert said in result.tally.unmet[0]
    assert time.monotonic() - began_s < 30.0
    (kept,) = run_apart(find(["3"]), 20, 0, 120.0)
    assert (kept.tally.cases, kept.tally.held) == (20, True)


def test_garbage_of_this_process_is_not_taken_apart_in_a_rows_process() -> None:
    class Cycle:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            taken_apart.write(f"{os.getpid()}\n".encode())

    with tempfile.TemporaryFile(buffering=0) as taken_apart:
        gc.disable()
        try:
            Cycle()
            run_apart([_Broken("1", "fault", "promise", "how", "collect", (1, 1, 1))], 1, 0, 30.0)
        finally:
            gc.enable()
        gc.collect()
        taken_apart.seek(0)
        assert taken_apart.read().decode().split() == [str(os.getpid())]


def test_the_command_writes_both_files(tmp_path: Path) -> None:
    paths = tmp_path / "report.json", tmp_path / "report.md"
    assert main(["--size", "short", "--rows", "3", "--json", str(paths[0]), "--markdown", str(paths[1])]) == 0
    written = json.loads(paths[0].read_text())
    assert [(row["row"], row["failures"], row["held"]) for row in written["rows"]] == [("3", 0, True)]
    assert "| 3 | joint names" in paths[1].read_text()
    assert main(["--size", "short", "--rows", "6", "--json", str(paths[0]), "--markdown", str(paths[1])]) == 0
    assert [row["row"] for row in json.loads(paths[0].read_text())["rows"]] == ["3", "6"]


def test_a_command_that_the_gate_cut_is_the_last_one_and_a_hold_is_not() -> None:
    def sent(stamp_ms: int, position: float) -> Sent:
        header = Header(stamp=convert.time_message(stamp_ms * 1_000_000))
        return Sent(stamp_ms * 1_000_000 + 3_000_000, JointCommand(header=header, position=[position]))

    commands = {item.stamp_ns: item for item in (sent(100, 0.1), sent(200, 0.4))}
    whole, cut, hold = sent(100, 0.1), sent(200, 0.3), sent(370, 0.25)
    assert last_passed([whole, cut, hold], commands) is cut
    assert last_passed([hold], commands) is None
