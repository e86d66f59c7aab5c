# SPDX-License-Identifier: Apache-2.0
"""Draws one picture of an adaptation: the robot at its task, the belief narrowing, the error falling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pitaya_nodes.recording import EpisodeTrace, Trace

Array = NDArray[np.float64]
MOST_PANELS = 6
SOLVED_RAD = 0.1
_INK, _MUTED, _GRID = "#22223b", "#8d99ae", "#e5e7eb"
_PRIOR, _POSTERIOR, _TARGET = "#8d99ae", "#b5179e", "#2a9d8f"
_LATENT = ("#4361ee", "#f77f00", "#2a9d8f", "#d62828", "#7209b7", "#6a994e", "#bc6c25", "#3a86ff")


def draw_demo(trace: Trace, exploration_episodes: int, title: str, path: Path) -> None:
    """Writes the picture.

    Args:
        trace: A recorded adaptation.
        exploration_episodes: Episodes at the start that act on a prior sample.
        title: One line above everything.
        path: Where to; the ending decides the format.
    """
    shown = _shown_episodes(len(trace.episodes))
    figure = Figure(figsize=(12.0, 8.2), dpi=150, facecolor="white")
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08, hspace=0.05)
    grid = figure.add_gridspec(2, 1, height_ratios=[1.0, 1.05])
    panels = grid[0].subgridspec(1, len(shown)).subplots(sharey=True, squeeze=False)[0]
    for panel, index in zip(panels, shown, strict=True):
        _draw_episode(panel, trace, index, exploring=index < exploration_episodes)
    panels[0].set_ylabel(_position_label(trace))
    if _is_valve(trace):
        _draw_targets(panels, trace, shown)
    panels[0].legend(frameon=False, fontsize=9, loc="best")
    left, middle, right = grid[1].subgridspec(1, 3, width_ratios=[1.5, 1.1, 0.9]).subplots(squeeze=False)[0]
    _draw_belief(left, trace)
    _draw_uncertainty(middle, trace)
    _draw_errors(right, trace, exploration_episodes)
    figure.suptitle(title, fontsize=14, fontweight="bold", color=_INK, x=0.01, ha="left")
    figure.savefig(path)


def _shown_episodes(count: int) -> list[int]:
    """All episodes, or the first ones and the last where there are too many."""
    if count <= MOST_PANELS:
        return list(range(count))
    return [*range(MOST_PANELS - 1), count - 1]


def _draw_episode(axis: Any, trace: Trace, index: int, *, exploring: bool) -> None:
    episode = trace.episodes[index]
    colour = _PRIOR if exploring else _POSTERIOR
    if _is_valve(trace):
        angle = episode.position[:, trace.joint_names.index("valve_joint")]
        axis.plot(episode.time_s, angle, color=colour, linewidth=2.4, solid_capstyle="round", label="valve")
        axis.plot(episode.time_s[-1], angle[-1], "o", color=colour, markersize=6)
    else:
        for column, name in enumerate(trace.joint_names[:2]):
            goal = list(trace.task.values())[column] if column < len(trace.task) else np.nan
            style = "-" if column == 0 else ":"
            axis.plot(
                episode.time_s, episode.position[:, column], style, color=colour, linewidth=2, label=name
            )
            axis.axhline(goal, color=_TARGET, linestyle=style, linewidth=1.2)
    draws_from = "explores" if exploring else "acts on its belief"
    axis.set_title(f"episode {index + 1}", fontsize=12, fontweight="bold", color=_INK, loc="left", pad=18)
    axis.text(0.0, 1.02, draws_from, transform=axis.transAxes, fontsize=9.5, color=colour, va="bottom")
    axis.text(
        1.0,
        1.02,
        _final_error(episode),
        transform=axis.transAxes,
        fontsize=9.5,
        ha="right",
        va="bottom",
        color=_INK,
    )
    axis.set_xlabel("time in episode [s]", color=_INK)
    _tidy(axis)


def _draw_targets(panels: Any, trace: Trace, shown: Sequence[int]) -> None:
    """The target in all panels alike, also written with whole turns more or less where that is nearer."""
    valve, target = trace.joint_names.index("valve_joint"), trace.task["target_rad"]
    angles = [trace.episodes[index].position[:, valve] for index in shown]
    nearest = [_nearest_turn(target, float(angle[-1])) for angle in angles]
    low = min(*nearest, target, *(float(angle.min()) for angle in angles)) - 0.35
    high = max(*nearest, target, *(float(angle.max()) for angle in angles)) + 0.35
    turns = range(
        int(np.ceil((low - target) / (2 * np.pi))), int(np.floor((high - target) / (2 * np.pi))) + 1
    )
    for panel in panels:
        for number, turn in enumerate(turns):
            line = target + 2.0 * np.pi * turn
            panel.axhspan(line - SOLVED_RAD, line + SOLVED_RAD, color=_TARGET, alpha=0.22, linewidth=0)
            label = ("target, told" if trace.goal else "hidden target") if number == 0 else None
            panel.axhline(line, color=_TARGET, linewidth=1.4, linestyle=(0, (5, 3)), zorder=1.5, label=label)
        panel.set_ylim(low, high)


def _draw_belief(axis: Any, trace: Trace) -> None:
    keep = _changes(trace)
    x = trace.transitions[keep]
    for dimension in range(trace.belief_mean.shape[1]):
        colour = _LATENT[dimension % len(_LATENT)]
        mean, std = trace.belief_mean[keep, dimension], trace.belief_std[keep, dimension]
        axis.fill_between(x, mean - std, mean + std, color=colour, alpha=0.16, linewidth=0)
        axis.plot(x, mean, color=colour, linewidth=1.8, label=f"z{dimension + 1}")
    _mark_episodes(axis, trace)
    axis.set_title("belief about the task: mean ± std of z", fontsize=11, color=_INK, loc="left")
    axis.set_xlabel("transitions observed", color=_INK)
    dimensions = trace.belief_mean.shape[1]
    if dimensions <= len(_LATENT):
        low, high = axis.get_ylim()
        axis.set_ylim(low - 0.14 * (high - low), high)  # room for the legend
        axis.legend(frameon=False, fontsize=9, loc="lower right", ncols=min(5, dimensions))
    # More names than colours would tell nobody which line is which.
    axis.set_ylabel("z" if dimensions <= len(_LATENT) else f"z, {dimensions} dimensions", color=_INK)
    _tidy(axis)


def _draw_uncertainty(axis: Any, trace: Trace) -> None:
    keep = _changes(trace)
    for dimension in range(trace.belief_std.shape[1]):
        colour = _LATENT[dimension % len(_LATENT)]
        axis.semilogy(trace.transitions[keep], trace.belief_std[keep, dimension], color=colour, linewidth=1.8)
    _mark_episodes(axis, trace)
    axis.set_title("uncertainty: std of z", fontsize=11, color=_INK, loc="left")
    axis.set_xlabel("transitions observed", color=_INK)
    _tidy(axis)


def _changes(trace: Trace) -> NDArray[np.bool_]:
    """Which beliefs hold one transition more than the belief before."""
    return np.concatenate([[True], np.diff(trace.transitions) > 0])


def _mark_episodes(axis: Any, trace: Trace) -> None:
    for number, episode in enumerate(np.unique(trace.belief_episode)):
        start = trace.transitions[np.flatnonzero(trace.belief_episode == episode)[0]]
        if number:
            axis.axvline(start, color=_MUTED, linewidth=1.0, linestyle=":")
        if len(trace.episodes) <= MOST_PANELS:
            place = axis.get_xaxis_transform()
            axis.text(start, 1.0, f" ep. {number + 1}", transform=place, fontsize=9, color=_MUTED, va="top")
    axis.set_xlim(0, max(float(trace.transitions.max()), 1.0))


def _draw_errors(axis: Any, trace: Trace, exploration_episodes: int) -> None:
    finals = [_last_finite(episode.error) for episode in trace.episodes]
    colours = [_PRIOR if index < exploration_episodes else _POSTERIOR for index in range(len(finals))]
    numbers = np.arange(1, len(finals) + 1)
    axis.bar(numbers, finals, color=colours, width=0.62, zorder=2)
    top = max([value for value in finals if np.isfinite(value)], default=1.0)
    for number, value in zip(numbers, finals, strict=True):
        axis.text(
            number,
            (max(value, SOLVED_RAD) if "target_rad" in trace.task else value) + 0.02 * top,
            f"{value:.3f}",
            ha="center",
            va="bottom",
            fontsize=9.5,
            color=_INK,
        )
    if "target_rad" in trace.task:
        axis.axhline(SOLVED_RAD, color=_TARGET, linewidth=1.4, linestyle=(0, (5, 3)), zorder=3)
        axis.plot([], [], color=_TARGET, linewidth=1.4, linestyle=(0, (5, 3)), label="solved below")
        axis.legend(frameon=False, fontsize=9, loc="upper right")
    axis.set_ylim(0, 1.25 * max(top, 2 * SOLVED_RAD))
    axis.set_xticks(numbers)
    axis.set_title("error at the end of each episode", fontsize=11, color=_INK, loc="left")
    axis.set_xlabel("episode", color=_INK)
    axis.set_ylabel("error [rad]" if "target_rad" in trace.task else "error", color=_INK)
    _tidy(axis)


def _is_valve(trace: Trace) -> bool:
    return "target_rad" in trace.task and "valve_joint" in trace.joint_names


def _position_label(trace: Trace) -> str:
    return "valve angle [rad]" if "valve_joint" in trace.joint_names else "position"


def _final_error(episode: EpisodeTrace) -> str:
    return f"error {_last_finite(episode.error):.3f}"


def _last_finite(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if finite.size else float("nan")


def _nearest_turn(target_rad: float, angle_rad: float) -> float:
    """The same target, written with as many whole turns as the valve has made."""
    return target_rad + 2.0 * np.pi * round((angle_rad - target_rad) / (2.0 * np.pi))


def _tidy(axis: Any) -> None:
    axis.grid(color=_GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(_MUTED)
    axis.tick_params(colors=_INK, labelsize=9)
