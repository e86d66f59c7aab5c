# SPDX-License-Identifier: Apache-2.0
"""`pitaya up NAME [key:=value ...]`: starts the processes of a bring-up file, as `ros2 launch` would."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from pitaya_nodes.bringup import BringUp, find_bringup
from pitaya_nodes.errors import BringUpError
from pitaya_nodes.interrupts import Interrupts
from pitaya_nodes.processes import ProcessGroup

POLL_S = 0.1
MANAGER = "lifecycle_manager"


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("arguments", nargs=-1, metavar="[KEY:=VALUE]...")
@click.option("--show-args", is_flag=True, help="Show what can be set, and start nothing.")
@click.option("--logs", type=click.Path(path_type=Path), help="Folder for one log file per process.")
def up(name: str, arguments: Sequence[str], show_args: bool, logs: Path | None) -> None:
    """Start the nodes of bring-up NAME and keep them running until Ctrl-C.

    NAME is a file in the installed config/bringup without its ending, or a path to such a file. Exit status 0
    after Ctrl-C, not 0 if a node refuses or dies.
    """
    bringup = find_bringup(name)
    if show_args:
        show_arguments(bringup)
        return
    specs = bringup.resolve(read_arguments(arguments))
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
    with Interrupts() as interrupts, ProcessGroup(folder=logs) as group:
        for spec in specs:
            group.start(spec)
        while not interrupts.wait(POLL_S):
            for child in group.poll():
                status = child.process.returncode
                if child.spec.name == MANAGER and status == 0:
                    click.echo(f"{name} is up: {', '.join(item.spec.name for item in group.children)}")
                    continue
                raise BringUpError(f"{child.spec.name} ended with status {status}; everything is stopped")
    sys.exit(0)


def read_arguments(arguments: Sequence[str]) -> dict[str, str]:
    """Splits `key:=value` words.

    Raises:
        BringUpError: If a word has no `:=`.
    """
    given = {}
    for word in arguments:
        key, separator, value = word.partition(":=")
        if not separator or not key:
            raise BringUpError(f"arguments look like key:=value, got {word!r}")
        given[key] = value
    return given


def show_arguments(bringup: BringUp) -> None:
    """Prints what can be set, in the manner of `ros2 launch --show-args`."""
    click.echo(bringup.description)
    for argument in bringup.arguments.values():
        choices = f" ({', '.join(argument.choices)})" if argument.choices else ""
        default = argument.default if argument.default != "" else "''"
        click.echo(f"\n    {argument.name}:={default}{choices}\n        {argument.description}")
