# SPDX-License-Identifier: Apache-2.0
"""`pitaya demo`: a simulated D'Claw adapts to a valve whose target it is not told, over real ROS 2."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
from rich.console import Console

from meta_rl_core.bundle import Bundle, load_bundle
from meta_rl_core.errors import PitayaError
from meta_rl_core.registry import registered_names
from pitaya_nodes.bringup import find_bundle
from pitaya_nodes.demo_run import DemoOutcome, DemoSettings, run_demo
from pitaya_nodes.demo_summary import summarize, write_summary
from pitaya_nodes.errors import GoalCancelledError, RecordingError
from pitaya_nodes.interrupts import Interrupts
from pitaya_nodes.recording import Trace, read_trace
from pitaya_nodes.report import EpisodeTable, make_console

NOT_ADAPTED, INTERRUPTED = 1, 130
PLOT_FILE = "plot.png"


@click.command()
@click.option(
    "--task-seed", default=7, show_default=True, type=click.IntRange(0), help="Seed of the hidden task."
)
@click.option(
    "--episodes", default=3, show_default=True, type=click.IntRange(1, 1000), help="Episodes to run."
)
@click.option(
    "--explore",
    default=2,
    show_default=True,
    type=click.IntRange(0, 1000),
    help="Episodes at the start that act on a sample of the prior, or on the bundle's hypotheses, one after the other.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**64 - 1),
    help="Seed of start states and sampled hypotheses.",
)
@click.option("--realtime", is_flag=True, help="Let time pass as on a robot instead of lock-step.")
@click.option(
    "--bundle",
    default="policies/dclaw-turn",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Policy bundle.",
)
@click.option("--plant", default="dclaw", show_default=True, help="Registered name of the simulated plant.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; by default a new one in runs/.")
def demo(
    task_seed: int,
    episodes: int,
    explore: int,
    seed: int,
    realtime: bool,
    bundle: Path,
    plant: str,
    out: Path | None,
) -> None:
    """Show a robot that adapts: real nodes in real processes, a picture, a recording and a summary.

    Exit status 0 exactly if the robot adapted, 1 if not, 130 after Ctrl-C, 2 on an error.
    """
    console = make_console()
    loaded = load_bundle(find_bundle(str(bundle)))
    settings = DemoSettings(
        bundle=loaded.path,
        plant=plant,
        family=loaded.manifest.family if loaded.manifest.family in registered_names("families") else "",
        task_seed=task_seed,
        seed=seed,
        episodes=episodes,
        steps=0,
        exploration_episodes=explore,
        real_time=realtime,
        folder=_new_folder(out),
    )
    with Interrupts() as interrupts:
        sys.exit(_show(console, settings, loaded, interrupts))


def _show(console: Console, settings: DemoSettings, bundle: Bundle, interrupts: Interrupts) -> int:
    _head(console, settings, bundle)
    outcome, failure = DemoOutcome(), None
    unit = "rad" if bundle.manifest.reward.task_names[0] == "target_rad" else "m"
    table = EpisodeTable(console, unit, settings.exploration_episodes)
    try:
        run_demo(settings, interrupts, outcome, lambda stage: console.print(f"[dim]{stage} ..."), table.add)
    except PitayaError as error:
        failure = error
    trace = _read(console, settings, bundle)
    reason = str(failure) if failure else outcome.result.message if outcome.result else "no result"
    summary = write_summary(settings.folder, summarize(settings, bundle, outcome, trace, reason))
    plot = _draw(settings, bundle, outcome, trace) if trace is not None and outcome.feedback else None
    _tail(console, settings, outcome, trace, [plot, settings.recording, summary])
    if isinstance(failure, GoalCancelledError):
        console.print("[yellow]interrupted; every process has ended")
        return INTERRUPTED
    if failure is not None:
        raise failure
    return 0 if outcome.result is not None and outcome.result.adapted else NOT_ADAPTED


def _head(console: Console, settings: DemoSettings, bundle: Bundle) -> None:
    manifest = bundle.manifest
    console.print(f"[bold]{manifest.name}[/bold] on {settings.plant}, bundle {bundle.hash[:12]}")
    told = bundle.robot.goal_joints
    hidden = (
        f"is told the goal of {', '.join(told)} and not the rest of its task"
        if told
        else "is not told its task"
    )
    console.print(
        f"The robot {hidden} (held-out task {settings.task_seed} of {manifest.family}). "
        f"{settings.exploration_episodes} of {settings.episodes} episodes explore, "
        f"{manifest.horizon} steps each."
    )


def _read(console: Console, settings: DemoSettings, bundle: Bundle) -> Trace | None:
    try:
        return read_trace(settings.recording, bundle.robot.period_s, bundle.manifest.horizon)
    except RecordingError as error:
        console.print(f"[dim]no picture: {error}")
        return None


def _draw(settings: DemoSettings, bundle: Bundle, outcome: DemoOutcome, trace: Trace) -> Path:
    from pitaya_nodes.demo_plot import draw_demo

    path = settings.folder / PLOT_FILE
    solved = [feedback.success for feedback in outcome.feedback]
    verdict = f"solved in episode {solved.index(True) + 1}" if any(solved) else "not solved"
    title = f"{bundle.manifest.name}: held-out task {settings.task_seed}, {verdict}"
    draw_demo(trace, settings.exploration_episodes, title, path)
    return path


def _tail(
    console: Console,
    settings: DemoSettings,
    outcome: DemoOutcome,
    trace: Trace | None,
    files: list[Path | None],
) -> None:
    if outcome.result is not None:
        verdict = "[bold green]adapted" if outcome.result.adapted else "[bold yellow]not adapted"
        console.print(f"{verdict}[/] after {len(outcome.feedback)} episodes, {outcome.adapt_s:.1f} s")
    if trace is not None:
        told = ", ".join(f"{name} = {value:+.3f}" for name, value in trace.task.items())
        console.print(f"The task was {told}.")
    for path in files:
        if path is not None and path.exists():
            console.print(f"  {path}", soft_wrap=True)


def _new_folder(out: Path | None) -> Path:
    folder = out or Path("runs", time.strftime("demo-%Y%m%d-%H%M%S"))
    if (folder / "recording").exists():
        raise RecordingError(f"{folder} already holds a recording: choose another --out, or remove it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordingError(f"cannot make run folder {folder}: {error}") from error
    return folder.absolute()
