# SPDX-License-Identifier: Apache-2.0
"""`pitaya train FAMILY`: meta-training from the command line."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import click

RANGES_FILE = "ranges.yaml"
STOPPING = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 128 + signal.SIGINT
"""Exit status of a run that is not complete, so that a script does not go on with it."""
ONE_REQUEST_S = 0.2
"""Signals within so long of the first ask for the same: `timeout` sends its own twice."""


@click.command()
@click.argument("family")
@click.option(
    "--preset",
    type=click.Choice(["paper", "fast"]),
    default="fast",
    show_default=True,
    help="Published settings, or what measurement found quicker.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seeds every random draw."
)
@click.option(
    "--iterations",
    type=click.IntRange(min=1),
    default=None,
    help="Collect-and-update rounds; the preset's by default.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=None,
    help="End after this many environment steps instead; the learning rate follows them.",
)
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where networks and replay live.",
)
@click.option(
    "--control",
    type=click.Choice(["none", "oracle", "recurrent", "blind"]),
    default="none",
    show_default=True,
    help="Train what PEARL is held against: 'oracle' is told the task in place of z; 'recurrent' is SAC on a "
    "recurrent network's reading of the context, without any meta-learning loss; 'blind' is SAC on all tasks at once, "
    "told and inferring nothing (domain randomisation where tasks differ in how worlds move).",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Run folder; runs/FAMILY-PRESET-SEED by default.",
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in the run folder.")
@click.option(
    "--threads", type=click.IntRange(min=1), default=None, help="Torch threads; all cores by default."
)
@click.option(
    "--ranges",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=None,
    help="Draw tasks from the ranges in this file, as `pitaya identify` writes it.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Override one setting of the preset, such as --set kl_weight=0.1.",
)
def train(
    family: str,
    preset: str,
    seed: int,
    iterations: int | None,
    steps: int | None,
    device: str,
    control: str,
    out: Path | None,
    resume: bool,
    threads: int | None,
    ranges: Path | None,
    settings: tuple[str, ...],
) -> None:
    """Meta-train a policy on FAMILY, a registered name or 'package.module:factory'.

    Writes progress.csv, TensorBoard logs, a checkpoint that resumes and the best policy so far; `pitaya export`
    turns the run into a bundle. Ctrl-C saves the end of the last iteration; a second one ends without saving.
    """
    import torch

    from meta_rl_core.cli.settings import parse_setting
    from meta_rl_core.pearl.device import checked_device
    from meta_rl_core.pearl.memory import keep_freed_memory
    from meta_rl_core.pearl.presets import control_settings, make_config
    from meta_rl_core.pearl.run_command import note_command
    from meta_rl_core.pearl.trainer import Trainer
    from meta_rl_core.registry import load_family

    # A run in the background inherits an ignored SIGINT, and a machine that shuts down sends SIGTERM: both save.
    _answer(_save_and_end)
    checked_device(device)
    if iterations is not None and steps is not None:
        raise click.UsageError("--steps and --iterations both say when to end; give one of them")
    keep_freed_memory()
    if threads is not None:
        torch.set_num_threads(threads)
    overrides = dict(parse_setting(setting) for setting in settings)
    if iterations is not None:
        overrides["iterations"] = iterations
    if steps is not None:
        overrides["environment_steps"] = steps
    tasks = load_family(family)
    if ranges is not None:
        tasks = tasks.narrowed(ranges)
    if tasks.changes_dynamics:
        overrides.setdefault("relabel", False)
    overrides.update(control_settings(control, tasks.spec))
    config = make_config(family, preset, seed=seed, **overrides)
    name = "" if control == "none" else f"{control}-"
    directory = out or Path("runs") / f"{family.replace(':', '.')}-{preset}-{name}{seed}"
    if resume:
        _same_ranges(directory, ranges)
    trainer = Trainer(tasks, config, directory, resume=resume, device=device)
    if not resume and ranges is not None:
        (directory / RANGES_FILE).write_bytes(ranges.read_bytes())
    note_command(directory, shlex.join(["pitaya", *sys.argv[1:]]))
    complete = trainer.run()
    click.echo(f"run: {directory}")
    if not complete:
        raise SystemExit(INTERRUPTED)


def _save_and_end(number: int, frame: FrameType | None) -> None:
    """Interrupts the run, which then saves; from now on a signal ends the process at once, whatever it is doing."""
    del number, frame
    _answer(signal.SIG_IGN)
    time.sleep(ONE_REQUEST_S)
    _answer(signal.SIG_DFL)
    raise KeyboardInterrupt


def _answer(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in STOPPING:
        signal.signal(number, handler)


def _same_ranges(directory: Path, ranges: Path | None) -> None:
    """Refuses to go on with a run on other tasks than it began with."""
    from meta_rl_core.errors import InvalidValueError

    kept = directory / RANGES_FILE
    begun = kept.read_bytes() if kept.is_file() else None
    if begun != (ranges.read_bytes() if ranges is not None else None):
        asked = f"--ranges {kept}" if begun is not None else "no --ranges"
        raise InvalidValueError(f"{directory} was begun with other tasks; resume it with {asked}")
