# SPDX-License-Identifier: Apache-2.0
"""What a run leaves behind while it goes: progress.csv, TensorBoard and a live progress bar."""

from __future__ import annotations

import csv
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


class RunLog:
    """Appends one row per evaluation; a resumed run appends to the same file."""

    def __init__(self, directory: Path, *, resume_at_updates: int) -> None:
        """Opens the files; rows later than `resume_at_updates` (from before a kill) are dropped."""
        self._csv = directory / "progress.csv"
        self._tensorboard = _summary_writer(directory / "tensorboard")
        if self._csv.exists():
            with self._csv.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["updates"]) <= resume_at_updates]
            self._csv.unlink()
            for row in rows:
                self._write(row)

    def add(self, row: dict[str, Any]) -> None:
        """One row: counters, scores and losses."""
        self._write(row)
        for name, value in row.items():
            if self._tensorboard is not None and name not in ("env_steps", "updates"):
                self._tensorboard.add_scalar(name, float(value), int(row["env_steps"]))

    def _write(self, row: dict[str, Any]) -> None:
        fresh = not self._csv.exists()
        with self._csv.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if fresh:
                writer.writeheader()
            writer.writerow(
                {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
            )

    def close(self) -> None:
        """Flushes TensorBoard."""
        if self._tensorboard is not None:
            self._tensorboard.close()


def _summary_writer(directory: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(log_dir=str(directory))


def progress_bar() -> Progress:
    """Share done, pace, time left and the newest scores, on one line."""
    return Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[pace]}"),
        TextColumn("{task.fields[scores]}"),
        console=Console(),
    )


def pace_line(env_steps: int, updates_per_s: float, left_min: float) -> str:
    """Where a run stands, such as `40,000 steps  25.1 updates/s  12 min left`."""
    return f"{env_steps:,} steps  {updates_per_s:.1f} updates/s  {left_min:.0f} min left"


def distillation_line(done: int, total: int, elapsed_s: float, loss: float) -> str:
    """Where the last phase stands, such as `distilling 1,200 of 12,000  60.1 updates/s  3 min left  imitation 0.1`."""
    rate = done / max(elapsed_s, 1e-9)
    left_min = (total - done) / rate / 60.0
    pace = f"{rate:.1f} updates/s  {left_min:.0f} min left"
    return f"distilling {done:,} of {total:,}  {pace}  imitation {loss:.3g}"
