# SPDX-License-Identifier: Apache-2.0
"""`pitaya doctor`: what is wrong with a robot, and the command that mends it."""

from __future__ import annotations

import sys

import click

from meta_rl_core.runtime.checkup import Row

FAULTY = 1
_STYLES = {"ok": "[green]OK[/green]", "slow": "[yellow]slow[/yellow]", "fix": "[red]fix this[/red]"}


@click.command()
@click.option(
    "--port", default=None, help="Serial port of the Dynamixel bus, such as /dev/ttyUSB0; none: skip the bus."
)
@click.option("--robot", default="dclaw", show_default=True, help="Robot file, or the name of a shipped one.")
@click.option("--ros/--no-ros", "ros", default=False, help="Listen on the ROS side too.")
@click.option(
    "--seconds", type=click.FloatRange(0.5, 60.0), default=3.0, show_default=True, help="How long to listen."
)
@click.option(
    "--cycles", type=click.IntRange(0, 100_000), default=200, show_default=True, help="Bus cycles to measure."
)
@click.option("--namespace", default="", help="Namespace of the graph.")
@click.option(
    "--fix", is_flag=True, help="Write the registers that differ and clear watchdogs; torque must be off."
)
@click.option(
    "--reboot", "reboot_id", type=click.IntRange(0, 252), default=None, help="Restart one motor first."
)
def doctor(
    port: str | None,
    robot: str,
    ros: bool,
    seconds: float,
    cycles: int,
    namespace: str,
    fix: bool,
    reboot_id: int | None,
) -> None:
    """Check a robot: port, motors, their settings and state, speed of the bus; with --ros also joint states and clocks.

    Ends in a table of OK and `fix this`, with the command that helps. Changes nothing unless asked by --fix or
    --reboot. The exit status is 0 exactly if nothing must be fixed.
    """
    from meta_rl_core.errors import InvalidValueError
    from meta_rl_core.runtime.robot_file import find_robot, load_robot

    if port is None and not ros:
        raise InvalidValueError(
            "nothing to check: give --port PORT for the bus, --ros for the ROS side, or both"
        )
    description = load_robot(find_robot(robot))
    rows: list[Row] = []
    if port is not None:
        from meta_rl_core.dynamixel import checkup, mending

        if reboot_id is not None:
            click.echo(mending.reboot(port, description, reboot_id))
        for line in mending.mend(port, description) if fix else ():
            click.echo(line)
        rows += checkup.check_bus(port, description, cycles)
    if ros:
        from pitaya_nodes.ros_checkup import check_graph, listen

        rows += check_graph(listen(seconds, namespace), description)
    _show(rows)
    sys.exit(FAULTY if any(row.level == "fix" for row in rows) else 0)


def _show(rows: list[Row]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for heading in ("", "what", "found", "what helps"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(_STYLES[row.level], escape(row.subject), escape(row.found), escape(row.fix))
    Console().print(table)
