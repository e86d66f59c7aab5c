# SPDX-License-Identifier: Apache-2.0
"""`pitaya up NAME [key:=value ...]`: starts the processes of a bring-up file, as `ros2 launch` would."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from pitaya_nodes.bringup import MANAGER, BringUp, find_bringup, manager_of
from pitaya_nodes.errors import BringUpError
from pitaya_nodes.interrupts import Interrupts
from pitaya_nodes.processes import Child, ProcessGroup
from pitaya_nodes.restarts import stays_down
from pitaya_nodes.security import check_security

POLL_S = 0.1


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("arguments", nargs=-1, metavar="[KEY:=VALUE]...")
@click.option("--show-args", is_flag=True, help="Show what can be set, and start nothing.")
@click.option("--logs", type=click.Path(path_type=Path), help="Folder for one log file per process.")
def up(name: str, arguments: Sequence[str], show_args: bool, logs: Path | None) -> None:
    """Start the nodes of bring-up NAME and keep them running until Ctrl-C.

    NAME is a file in the installed config/bringup without its ending, or a path to such a file. A node that may be
    started again is, three times a minute at most. Exit status 0 after Ctrl-C, not 0 if a node refuses or stays down.
    """
    check_security(os.environ)
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
        latched = False
        while not interrupts.wait(POLL_S):
            for child in group.poll():
                latched |= _ended(name, group, child, first=child.spec is specs[-1])
    sys.exit(1 if latched else 0)


def _ended(name: str, group: ProcessGroup, child: Child, first: bool) -> bool:
    """Goes on without a child that ended, if that is possible; whether a node stays down.

    Args:
        name: Name of the bring-up.
        group: The other processes.
        child: The one that ended.
        first: Whether it is the lifecycle manager of the whole bring-up, the last of its nodes.

    Raises:
        BringUpError: If it is not possible.
    """
    spec, status = child.spec, child.process.returncode
    if spec.name == MANAGER:
        if status == 0:
            up = [item.spec.name for item in group.children] if first else spec.parameters["nodes"]
            click.echo(f"{name} is up: {', '.join(up)}")
            return False
        if not first:
            click.echo(
                f"{', '.join(spec.parameters['nodes'])} was started again, but is not active", err=True
            )
            return False
    if spec.spectator:
        click.echo(f"{spec.name} ended with status {status}; the others go on", err=True)
        return False
    if not spec.respawn:
        raise BringUpError(f"{spec.name} ended with status {status}; everything is stopped")
    if not group.respawn(child):
        click.echo(stays_down(spec.name), err=True)
        return True
    click.echo(f"{spec.name} ended with status {status} and was started again", err=True)
    if spec.managed and not any(item.spec.name == MANAGER for item in group.children):
        group.start(manager_of([spec.name], spec.namespace))
    return False


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
