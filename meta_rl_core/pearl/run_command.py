# SPDX-License-Identifier: Apache-2.0
"""Which commands made a run: the one that began it, and those that resumed it with other settings."""

from __future__ import annotations

from pathlib import Path

from meta_rl_core.bundle.schema import LONGEST_COMMAND

COMMAND_FILE = "command.txt"
"""A line for each command; a bundle's provenance quotes them."""


def note_command(run_directory: Path, command: str) -> None:
    """Adds `command` to those of the run, unless it is the last one again: a run may be resumed very often."""
    file = run_directory / COMMAND_FILE
    commands = _commands(file)
    if commands[-1:] != [command]:
        file.write_text("\n".join([*commands, command]) + "\n")


def noted_commands(run_directory: Path) -> str:
    """All commands of the run in their order, as one line of shell; empty if none is known.

    Where that is more than a manifest takes, the first and the last one stand for all.
    """
    commands = _commands(run_directory / COMMAND_FILE)
    line = "; ".join(commands)
    return line if len(line) <= LONGEST_COMMAND else f"{commands[0]}; ...; {commands[-1]}"[:LONGEST_COMMAND]


def _commands(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
