# SPDX-License-Identifier: Apache-2.0
"""What a run leaves behind while it goes: progress.csv, TensorBoard and a live progress bar."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

PACE_EVERY_S = 60.0
COUNTERS = ("env_steps", "updates")
"""Columns that are no curves in TensorBoard: steps are its axis, updates follow them."""


class RunLog:
    """Appends one row per evaluation; a resumed run appends to the same file."""

    def __init__(
        self, directory: Path, *, resume_at_updates: int | None = None, resume_at_rows: int | None = None
    ) -> None:
        """Opens the files; rows from after the checkpoint that the run goes on from are dropped.

        Args:
            directory: The run folder.
            resume_at_updates: How far a run is that goes on; None for a new one.
            resume_at_rows: How many rows it had written; where its checkpoint does not say, all up to its updates.
        """
        self._csv = directory / "progress.csv"
        going_on = resume_at_updates is not None
        kept = _drop_later_rows(self._csv, resume_at_updates or 0, resume_at_rows) if going_on else []
        self.rows = len(kept)
        """How many rows there are."""
        # TensorBoard forgets what it was told of this step and later ones, which the run is about to tell again.
        last_step = int(kept[-1]["env_steps"]) if kept else 0
        self._tensorboard = _summary_writer(directory / "tensorboard", last_step if going_on else None)
        for row in kept:
            if int(row["env_steps"]) == last_step:
                self._draw(row)

    def add(self, row: dict[str, Any]) -> None:
        """One row: counters, scores and losses."""
        self._write(row)
        self._draw(row)
        self.rows += 1

    def _draw(self, row: dict[str, Any]) -> None:
        if self._tensorboard is None:
            return
        for name, value in row.items():
            if name not in COUNTERS and value not in (None, ""):
                self._tensorboard.add_scalar(name, float(value), int(row["env_steps"]))

    def _write(self, row: dict[str, Any]) -> None:
        """Below the columns that the file has: a run begun before some came to be goes on without them."""
        columns = _header(self._csv)
        with self._csv.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=columns or list(row), extrasaction="ignore")
            if not columns:
                writer.writeheader()
            writer.writerow(
                {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
            )

    def close(self) -> None:
        """Flushes TensorBoard."""
        if self._tensorboard is not None:
            self._tensorboard.close()


def _header(file: Path) -> list[str]:
    """Columns of a CSV file; none if there is no such file."""
    if not file.exists():
        return []
    with file.open(newline="") as stream:
        return next(csv.reader(stream), [])


def _drop_later_rows(file: Path, updates: int, count: int | None) -> list[dict[str, str]]:
    """Leaves the rows that a checkpoint knows of, letter by letter; the file is whole at every moment."""
    if not file.exists():
        return []
    with file.open(newline="") as stream:
        lines = list(stream)
    rows = list(csv.DictReader(lines))
    if count is None:
        count = sum(int(row["updates"] or 0) <= updates for row in rows)
    if count < len(rows):
        fresh = file.with_name(file.name + ".writing")
        with fresh.open("w", newline="") as stream:
            stream.writelines(lines[: 1 + count])
        fresh.replace(file)
    return rows[:count]


def _summary_writer(directory: Path, purge_step: int | None) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        Console(stderr=True).print(
            f"no TensorBoard logs ({error}); progress.csv holds the same. `pip install tensorboard` brings them"
        )
        return None
    return SummaryWriter(log_dir=str(directory), purge_step=purge_step)


class Display:
    """How a run is getting on: one live line in a terminal, plain lines elsewhere."""

    def __init__(self, name: str, share_done: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Shows the share done, time, pace and the newest scores; enter it to begin.

        Args:
            name: What runs.
            share_done: How much of it was done before, from 0 to 1.
            clock: Says when the next plain line is due [s].
        """
        self._pace, self._clock = "", clock
        self._told_s = -PACE_EVERY_S
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[pace]}"),
            TextColumn("{task.fields[scores]}"),
            console=Console(),
        )
        self._task = self._bar.add_task(
            name, total=1000, completed=round(1000 * share_done), pace="", scores=""
        )

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show_iteration(self, pace: str, share_done: float) -> None:
        """Changes pace and share on the live line; without a terminal a line of its own, at most once a minute."""
        self.show(pace, share_done)
        if self._clock() - self._told_s >= PACE_EVERY_S:
            self._told_s = self._clock()
            self.tell_without_terminal(pace)

    def show(self, pace: str, share_done: float | None = None) -> None:
        """Changes the pace on the live line."""
        self._pace = pace
        completed = None if share_done is None else round(1000 * share_done)
        self._bar.update(self._task, completed=completed, pace=pace)

    def show_scores(self, scores: str) -> None:
        """Changes the scores on the live line; without a terminal a line of its own, with the pace."""
        self._bar.update(self._task, scores=scores)
        self.tell_without_terminal(f"{self._pace}  {scores}")

    def tell_without_terminal(self, text: str) -> None:
        """A line where no live one can be seen."""
        if not self._bar.console.is_terminal:
            self.tell(text)

    def tell(self, text: str) -> None:
        """A line that stays."""
        self._bar.console.print(text)


def pace_line(env_steps: int, updates_per_s: float, left_min: float) -> str:
    """Where a run stands, such as `40,000 steps  25.1 updates/s  12 min left`."""
    return f"{env_steps:,} steps  {updates_per_s:.1f} updates/s  {left_min:.0f} min left"


def distillation_line(done: int, total: int, rate: float, loss: float) -> str:
    """Where the last phase stands, such as `distilling 1,200 of 12,000  60.1 updates/s  3 min left  imitation 0.1`."""
    left_min = (total - done) / rate / 60.0
    pace = f"{rate:.1f} updates/s  {left_min:.0f} min left"
    return f"distilling {done:,} of {total:,}  {pace}  imitation {loss:.3g}"
