# SPDX-License-Identifier: Apache-2.0
"""`pitaya fit-change BUNDLE`: teaches a policy to tell that its task has changed."""

from __future__ import annotations

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
    from meta_rl_core.pearl.change_bundle import teach
    from meta_rl_core.pearl.change_fit import ChangeFit

    settings = ChangeFit(seed=seed, tasks=tasks, updates=updates)
    taught = teach(bundle_directory, out, settings, hours, alarms_per_hour)
    click.echo(
        "cross entropy [nat], 0.693 knows nothing: " + " ".join(f"{loss:.3f}" for loss in taught.losses)
    )
    click.echo("strongest false evidence [nat]: " + " ".join(f"{one:.1f}" for one in taught.strengths[:8]))
    click.echo(f"bundle {taught.bundle.path}: alarm {taught.alarm:.1f} nat, hash {taught.bundle.hash}")
    errors = taught.bundle.golden_errors
    click.echo(f"golden vectors reproduced to {errors.change_log_odds:.1e} (log odds of a change)")
