# SPDX-License-Identifier: Apache-2.0
"""`pitaya excite`: moves a D'Claw through a short script and records it, for `pitaya identify`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from pitaya_nodes.bringup import find_bundle
from pitaya_nodes.errors import GoalCancelledError, RecordingError
from pitaya_nodes.excitation_run import ExcitationSettings, run_excitation
from pitaya_nodes.interrupts import Interrupts

INTERRUPTED = 130
_BUNDLE = "policies/dclaw-turn"


@click.command()
@click.option("--port", help="Serial port of a real or emulated hand; without it a simulated one moves.")
@click.option(
    "--robot", default="dclaw", show_default=True, help="Robot description of the hand on the port."
)
@click.option(
    "--task-seed",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Simulated: seed of the held-out body of dclaw-turn-dynamics.",
)
@click.option("--realtime", is_flag=True, help="Simulated: let time pass as on a robot instead of lock-step.")
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of starts and poses."
)
@click.option("--episodes", default=2, show_default=True, type=click.IntRange(1, 100), help="Resets.")
@click.option(
    "--steps",
    default=40,
    show_default=True,
    type=click.IntRange(4, 10000),
    help="Periods of 0.1 s per episode.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; by default a new one in runs/.")
def excite(
    port: str | None,
    robot: str,
    task_seed: int,
    realtime: bool,
    seed: int,
    episodes: int,
    steps: int,
    out: Path | None,
) -> None:
    """Move a hand through random poses, each held for 0.4 s, and record what it does.

    The hand MOVES: checks first, then torque and slowly to the start pose. Every command passes the command gate with
    its limits and soft start. Ctrl-C ends it, and takes the torque from the motors. Then `pitaya identify FOLDER`.

    Exit status 0 when everything is recorded, 130 after Ctrl-C, 2 on an error.
    """
    folder = (out or Path("runs", time.strftime("excite-%Y%m%d-%H%M%S"))).absolute()
    if (folder / "recording").exists():
        raise RecordingError(f"{folder} already holds a recording: choose another --out, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    arguments = {"bundle": str(find_bundle(_BUNDLE)), "journal": ""}
    if port:
        arguments |= {"port": port, "robot": robot}
    else:
        mode = "real_time" if realtime else "lock_step"
        arguments |= {"family": "dclaw-turn-dynamics", "task_seed": str(task_seed), "mode": mode}
    settings = ExcitationSettings(
        bring_up="dclaw_robot" if port else "dclaw_sim",
        arguments=arguments,
        folder=folder,
        seed=seed,
        episodes=episodes,
        steps=steps,
    )
    with Interrupts() as interrupts:
        try:
            recording = run_excitation(settings, interrupts, click.echo)
        except GoalCancelledError:
            click.echo("interrupted; every process has ended")
            sys.exit(INTERRUPTED)
    click.echo(f"recorded: {recording}\nnext: pitaya identify {folder}")
