# SPDX-License-Identifier: Apache-2.0
"""`pitaya plot RUN...`: learning curves against environment steps and wall clock."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import numpy as np
import yaml
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]
PROGRESS_FILE = "progress.csv"
_GRID_POINTS = 200
_RETURNS = {"dense": ("return", "return per episode"), "sparse": ("sparse", "sparse return per episode")}
_SUCCESS = ("success", "share of tasks solved")
_CURVES = (("first", "first episode (prior)", "tab:gray"), ("adapted", "adapted episode", "tab:purple"))
_TOLD = ("told", "same run, told the task", "tab:cyan")
_TOLD_COLUMN = "return_told"
"""Drawn where a run has it; of success and of the sparse return there is none."""
_CONTROLS = {
    "oracle": ("adapted", "oracle (told the task)", "tab:green"),
    "recurrent": ("adapted", "recurrent context, no meta loss", "tab:orange"),
    "blind": ("adapted", "blind (one policy for all tasks)", "tab:red"),
}
_LINES = ("-", "--", ":", "-.")
"""Of the presets, in the order in which runs of them are named."""
_X_AXES = (("env_steps", "environment steps"), ("wall_s", "wall clock [min]"))


class Kind(NamedTuple):
    """What a run stands for; runs of one kind are seeds of each other. A CSV file alone tells no family or preset."""

    family: str = ""
    preset: str = ""
    control: str = "none"
    """`none` is meta-learning."""


class Curve(NamedTuple):
    """Runs that are drawn as one line with its band."""

    runs: Sequence[dict[str, Array]]
    column: str
    label: str
    colour: str
    line: str


class Band(NamedTuple):
    """Several runs as one curve, on a grid they all cover."""

    x: Array
    mean: Array
    low: Array
    high: Array


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("learning_curves.png"),
    show_default=True,
    help="Picture to write; its ending decides the format.",
)
@click.option(
    "--reward",
    type=click.Choice(["dense", "sparse"]),
    default="dense",
    show_default=True,
    help="Which return.",
)
@click.option("--title", default=None, help="Title of the picture; by default the names of the runs.")
def plot(runs: tuple[Path, ...], out: Path, reward: str, title: str | None) -> None:
    """Draw returns and success of training runs; several runs give their mean, lowest and highest.

    Runs of `pitaya train --control ...` become a curve of their own for each control, and so do those of each preset.
    """
    kinds: dict[Kind, list[dict[str, Array]]] = {}
    for run in runs:
        kinds.setdefault(read_kind(run), []).append(read_progress(run, reward))
    families = sorted({kind.family for kind in kinds} - {""})
    if len(families) > 1:
        raise InvalidValueError(
            f"runs of {' and '.join(families)} share no scale; draw each family on its own"
        )
    draw(arrange(kinds), reward, out, title or ", ".join(run.name for run in runs))
    click.echo(f"picture: {out}")


def read_progress(run: Path, reward: str = "dense") -> dict[str, Array]:
    """Columns of a run's progress.csv, each of shape (rows,), in order of environment steps.

    What a run earns when told the task comes with them where it was kept.

    Args:
        run: The run folder, or the CSV file itself.
        reward: Which return is wanted, `dense` or `sparse`.

    Raises:
        InvalidValueError: If it cannot be read, lacks a column, has no row or holds what is no number.
    """
    path = run / PROGRESS_FILE if run.is_dir() else run
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidValueError(
            f"{path} cannot be read: {error}; give run folders of `pitaya train`"
        ) from error
    quantities = (_RETURNS[reward][0], _SUCCESS[0])
    wanted = [f"{quantity}_{curve}" for quantity in quantities for curve, _, _ in _CURVES]
    wanted += [name for name, _ in _X_AXES]
    missing = [name for name in wanted if not rows or name not in rows[0]]
    if missing:
        raise InvalidValueError(f"{path} has {len(rows)} rows and lacks the columns {', '.join(missing)}")
    if reward == "dense" and _TOLD_COLUMN in rows[0]:
        wanted.append(_TOLD_COLUMN)
    try:
        columns = {name: np.array([float(row[name]) for row in rows]) for name in wanted}
    except (TypeError, ValueError) as error:
        raise InvalidValueError(f"{path} holds something that is no number: {error}") from error
    order = np.argsort(columns["env_steps"], kind="stable")
    return {name: values[order] for name, values in columns.items()}


def read_kind(run: Path) -> Kind:
    """What a run stands for; a CSV file alone is taken for meta-learning.

    Raises:
        InvalidValueError: If its config.yaml is there and cannot be read, or names a control that is not known.
    """
    path = (run if run.is_dir() else run.parent) / "config.yaml"
    if not path.exists():
        return Kind()
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        kind = Kind(**{name: str(settings[name]) for name in Kind._fields if name in settings})
    except (OSError, UnicodeDecodeError, TypeError, yaml.YAMLError) as error:
        raise InvalidValueError(f"{path} cannot be read: {error}") from error
    if kind.control not in ("none", *_CONTROLS):
        raise InvalidValueError(
            f"{path} names the control {kind.control!r}; known are none, {', '.join(_CONTROLS)}"
        )
    return kind


def arrange(kinds: Mapping[Kind, Sequence[dict[str, Array]]]) -> list[Curve]:
    """Curves of all runs: colours tell episodes and controls, lines and labels the presets where there are several."""
    presets = list(dict.fromkeys(kind.preset for kind in kinds))
    curves = []
    for kind, runs in kinds.items():
        line = _LINES[presets.index(kind.preset) % len(_LINES)]
        drawn = _CURVES if kind.control == "none" else (_CONTROLS[kind.control],)
        if all(_TOLD_COLUMN in run for run in runs):
            drawn = (*drawn, _TOLD)
        for column, label, colour in drawn:
            named = f"{label}, {kind.preset or 'preset unknown'}" if len(presets) > 1 else label
            curves.append(Curve(runs, column, named, colour, line))
    return curves


def combine(curves: Sequence[tuple[Array, Array]]) -> Band:
    """Mean, lowest and highest of several (x, y) curves over the range of x that all of them cover.

    One curve keeps its own points; several are interpolated on a common grid, which is a single point where
    they share no range.
    """
    if len(curves) == 1:
        x, y = curves[0]
        return Band(x, y, y, y)
    low, high = max(float(x[0]) for x, _ in curves), min(float(x[-1]) for x, _ in curves)
    points = _GRID_POINTS if high > low else 1
    grid = np.linspace(low, max(low, high), points, dtype=np.float64)
    values = np.stack([np.interp(grid, x, y) for x, y in curves])
    return Band(grid, values.mean(axis=0), values.min(axis=0), values.max(axis=0))


def draw(curves: Sequence[Curve], reward: str, out: Path, title: str) -> None:
    """Writes the picture: returns above success, against environment steps and wall clock.

    Args:
        curves: What to draw.
        reward: Which return, `dense` or `sparse`.
        out: Picture to write.
        title: Stands above it.

    Raises:
        InvalidValueError: If the file cannot be written.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(10, 6.5), layout="constrained")
    axes = figure.subplots(2, 2, sharex="col", sharey="row")
    for row, (quantity, y_label) in enumerate((_RETURNS[reward], _SUCCESS)):
        for column, (x_name, x_label) in enumerate(_X_AXES):
            for curve in curves:
                if all(f"{quantity}_{curve.column}" in run for run in curve.runs):
                    _draw_curve(axes[row][column], curve, quantity, x_name)
            axes[row][0].set_ylabel(y_label)
            axes[1][column].set_xlabel(x_label)
    axes[1][0].set_ylim(-0.02, 1.02)
    axes[1][0].xaxis.set_major_formatter(EngFormatter(sep=""))
    axes[0][0].legend(frameon=False)
    figure.suptitle(title)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=150)
    except (OSError, ValueError) as error:
        raise InvalidValueError(f"the picture could not be written to {out}: {error}") from error


def _draw_curve(axis: Axes | Any, curve: Curve, quantity: str, x_name: str) -> None:
    scale = 1.0 / 60.0 if x_name == "wall_s" else 1.0
    band = combine([_finite(run[x_name] * scale, run[f"{quantity}_{curve.column}"]) for run in curve.runs])
    axis.plot(band.x, band.mean, curve.line, color=curve.colour, label=curve.label, linewidth=1.5)
    if len(curve.runs) > 1:
        axis.fill_between(band.x, band.low, band.high, color=curve.colour, alpha=0.2, linewidth=0.0)
    axis.grid(visible=True, alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


def _finite(x: Array, y: Array) -> tuple[Array, Array]:
    keep = np.isfinite(x) & np.isfinite(y)
    return (x[keep], y[keep]) if keep.any() else (np.zeros(1), np.full(1, math.nan))
