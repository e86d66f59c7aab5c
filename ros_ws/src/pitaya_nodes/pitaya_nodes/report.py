# SPDX-License-Identifier: Apache-2.0
"""Shows in a terminal, or in a log file, how an adaptation goes, episode by episode."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

LOG_WIDTH = 130
"""Columns where the output is no terminal and has no width of its own."""

_COLUMNS = (
    ("episode", 7),
    ("z from", 7),
    ("return", 8),
    ("error", 10),
    ("task", 8),
    ("steps", 5),
    ("nats", 5),
)
_GAP = "  "


def make_console() -> Console:
    """A console that writes lines of full width also into files and pipes."""
    return Console(width=None if sys.stdout.isatty() else LOG_WIDTH, highlight=False)


class EpisodeTable:
    """Prints one row as soon as an episode ends, under a head printed before the first one."""

    def __init__(self, console: Console, unit: str, exploration_episodes: int) -> None:
        """Prepares.

        Args:
            console: Where to print.
            unit: Unit of the error, such as `rad`.
            exploration_episodes: How many episodes act on a sample of the prior.
        """
        self._console, self._unit = console, unit
        self._exploration_episodes = exploration_episodes
        self._rows = 0

    def add(self, feedback: Any) -> None:
        """Prints the row of a finished episode.

        Args:
            feedback: Feedback of the Adapt action.
        """
        if self._rows == 0:
            self._head()
        self._rows += 1
        cells = (
            Text(str(feedback.episode + 1), "bold"),
            Text("prior" if feedback.episode < self._exploration_episodes else "belief"),
            Text(f"{feedback.episode_return:.1f}"),
            Text(f"{feedback.final_error:.3f} {self._unit}"),
            Text("solved", "bold green") if feedback.success else Text("not yet", "yellow"),
            Text(str(feedback.belief.transitions)),
            Text(f"{feedback.belief.kl_to_prior:.1f}"),
        )
        belief = Text(belief_text(feedback.belief.mean, feedback.belief.std), "cyan")
        self._line(cells, belief)

    def _head(self) -> None:
        cells = [Text(name, "bold") for name, _ in _COLUMNS]
        self._line(cells, Text("belief: mean ± std of each latent dimension", "bold"))
        self._console.print(Text("─" * min(self._console.width, LOG_WIDTH), "dim"))

    def _line(self, cells: Sequence[Text], belief: Text) -> None:
        """One line, or two where the terminal is too narrow for the belief to stand beside the rest."""
        line = Text()
        for cell, (name, width) in zip(cells, _COLUMNS, strict=True):
            cell.align("left" if name in ("z from", "task") else "right", width)
            line.append_text(cell).append(_GAP)
        if len(line) + len(belief) <= self._console.width:
            line.append_text(belief)
            self._console.print(line, soft_wrap=True)
            return
        self._console.print(line, soft_wrap=True)
        self._console.print(Text("   ").append_text(belief), soft_wrap=True)


def belief_text(mean: Sequence[float], std: Sequence[float]) -> str:
    """Mean and standard deviation of each latent dimension on one line."""
    return _GAP.join(f"{m:+.2f}±{s:.3f}" for m, s in zip(mean, std, strict=True))
