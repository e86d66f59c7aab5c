# SPDX-License-Identifier: Apache-2.0
"""`pitaya fit-change BUNDLE`: teaches a policy to tell that its task has changed."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click


@click.command("fit-change")
@click.argument("bundle_directory", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Where to write; by default BUNDLE is replaced.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides everything.")
@click.option(
    "--tasks", type=click.IntRange(min=1), default=800, show_default=True, help="Tasks to live through."
)
@click.option(
    "--updates", type=click.IntRange(min=1), default=9000, show_default=True, help="Gradient steps."
)
@click.option(
    "--hours",
    type=click.FloatRange(0.01, 1000.0),
    default=9.0,
    show_default=True,
    help="Simulated hours without a change that the alarm is calibrated on.",
)
@click.option(
    "--alarms-per-hour",
    type=click.FloatRange(0.0, 100.0),
    default=0.34,
    show_default=True,
    help="False alarms per simulated hour that the alarm may cost there; a tenth of safety comes on top.",
)
def fit_change(
    bundle_directory: Path,
    out: Path | None,
    seed: int,
    tasks: int,
    updates: int,
    hours: float,
    alarms_per_hour: float,
) -> None:
    """Teach the policy in BUNDLE to tell that its task has changed, as when a valve was swapped.

    A network is trained on simulated episodes and calibrated on others, whose tasks never change. Actor and encoder
    stay as they are, to the bit; the hash of the bundle changes, so beliefs saved before no longer fit.
    """
    import numpy as np
    from safetensors.numpy import load_file

    from meta_rl_core.bundle import load_bundle, write_bundle
    from meta_rl_core.bundle.manifest import GOLDEN_FILE, MANIFEST_FILE, WEIGHTS_FILE
    from meta_rl_core.bundle.schema import LEAST_ALARM
    from meta_rl_core.pearl.change_fit import (
        LOWEST_CALIBRATED,
        ChangeFit,
        bundle_parts,
        calibrated,
        false_alarms,
        learn,
    )
    from meta_rl_core.pearl.lives import joined, live_many
    from meta_rl_core.registry import load_family

    bundle = load_bundle(bundle_directory)
    family = load_family(bundle.manifest.family, from_file=True)
    settings = ChangeFit(seed=seed, tasks=tasks, updates=updates)
    generator = np.random.Generator(np.random.PCG64(seed))
    lives = joined(live_many(bundle, family, family.sample_tasks(tasks, generator), settings.episodes, seed))
    network, losses = learn(bundle, family, lives, settings)
    click.echo("cross entropy [nat], 0.693 knows nothing: " + " ".join(f"{loss:.3f}" for loss in losses))

    fields = json.loads((bundle_directory / MANIFEST_FILE).read_text(encoding="utf-8"))
    files = (load_file(bundle_directory / name) for name in (WEIGHTS_FILE, GOLDEN_FILE))
    weights, golden = files
    with tempfile.TemporaryDirectory() as folder:
        trial = write_bundle(folder, *bundle_parts(fields, weights, golden, network, LEAST_ALARM))
        period_s = bundle.manifest.period_s or 0.1
        steps = settings.episodes * bundle.manifest.horizon
        count = int(np.ceil(hours * 3600.0 / (steps * period_s)))
        sound = family.sample_tasks(count, generator)
        strengths = [
            strength
            for life in live_many(bundle, family, sound, settings.episodes, seed + 1)
            for strength in false_alarms(trial, life, LOWEST_CALIBRATED)
        ]
    strengths.sort(reverse=True)
    alarm = calibrated(strengths, hours, alarms_per_hour)
    click.echo("strongest false evidence [nat]: " + " ".join(f"{one:.1f}" for one in strengths[:8]))
    written = write_bundle(
        out or bundle_directory,
        *bundle_parts(fields, weights, golden, network, alarm),
        overwrite=out is None,
    )
    errors = written.golden_errors
    click.echo(f"bundle {written.path}: alarm {alarm:.1f} nat, hash {written.hash}")
    click.echo(f"golden vectors reproduced to {errors.change_log_odds:.1e} (log odds of a change)")
