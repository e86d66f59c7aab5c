# SPDX-License-Identifier: Apache-2.0
"""`pitaya export RUN OUT`: from a training run to a bundle that robots load."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import click


@click.command()
@click.argument("run_directory", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("out_directory", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--checkpoint",
    type=click.Choice(["best", "last"]),
    default="best",
    show_default=True,
    help="The policy that evaluated best, or the newest.",
)
@click.option(
    "--hypotheses-per-episode",
    type=click.IntRange(1, 16),
    default=None,
    help="How many hypotheses an exploring episode tries, one after the other; as configured for the run by default.",
)
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is already in OUT.")
def export(
    run_directory: Path,
    out_directory: Path,
    checkpoint: str,
    hypotheses_per_episode: int | None,
    overwrite: bool,
) -> None:
    """Write the policy of the training run RUN as a bundle to the directory OUT.

    The bundle is loaded once as a robot would, golden vectors included, before it is put in place.
    """
    from meta_rl_core.bundle import write_bundle
    from meta_rl_core.pearl.export import export_parts

    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    manifest_fields, weights, golden = export_parts(
        run_directory,
        checkpoint,  # type: ignore[arg-type]
        created,
        hypotheses_per_episode,
    )
    bundle = write_bundle(out_directory, manifest_fields, weights, golden, overwrite=overwrite)
    errors = bundle.golden_errors
    click.echo(f"bundle {out_directory}: {bundle.manifest.name}, hash {bundle.hash}")
    click.echo(
        f"golden vectors reproduced to {errors.belief_mean:.1e} (belief mean), "
        f"{errors.belief_variance:.1e} (belief variance), {errors.action:.1e} (action)"
    )
