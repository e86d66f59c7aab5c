# SPDX-License-Identifier: Apache-2.0
"""`pitaya emulate ROBOT`: a serial port that answers like the robot's motors, for use without hardware."""

from __future__ import annotations

import gc
import signal
from pathlib import Path
from types import FrameType

import click

from meta_rl_core.runtime.robot_file import find_robot, load_robot
from sim_bridge.dynamixel.emulation import Emulation, Scenario, read_scenario
from sim_bridge.dynamixel.terminal import EmulatedPort


@click.command()
@click.argument("robot")
@click.option("--link", type=click.Path(path_type=Path), help="Where to put a link to the serial port.")
@click.option(
    "--scenario",
    "scenario_path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="YAML with odd motors and a fault script, see docs/hardware.md.",
)
@click.option(
    "--seed", default=0, show_default=True, help="Seed of the valve's start angle and of the faults."
)
@click.option(
    "--factor",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.01, 100.0),
    help="Emulated seconds per second.",
)
def emulate(robot: str, link: Path | None, scenario_path: Path | None, seed: int, factor: float) -> None:
    """Answer on a pseudo-terminal like the motors of ROBOT until Ctrl-C.

    ROBOT is `dclaw` or the path of a robot description. A simulated hand moves the motors.
    """
    description = load_robot(find_robot(robot))
    scenario = read_scenario(scenario_path) if scenario_path else Scenario()
    with EmulatedPort(Emulation(description, scenario, seed), link, factor) as port:

        def end(number: int, frame: FrameType | None) -> None:
            del number, frame
            port.stop()

        signal.signal(signal.SIGINT, end)
        signal.signal(signal.SIGTERM, end)
        # What lives on is taken out of the garbage collector's sight: going through it delays an answer.
        gc.collect()
        gc.freeze()
        click.echo(f"{description.name} answers on {port.path}; Ctrl-C ends it")
        port.serve()
