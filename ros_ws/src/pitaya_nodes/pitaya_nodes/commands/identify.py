# SPDX-License-Identifier: Apache-2.0
"""`pitaya identify`: what a D'Claw's body is like, from a recording of how it moved."""

from __future__ import annotations

from pathlib import Path

import click

_DEFAULT_MARGIN = 0.2


@click.command()
@click.argument("recording", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("ranges.yaml"), show_default=True
)
@click.option(
    "--prongs", type=click.IntRange(3, 4), default=3, show_default=True, help="Prongs of the valve."
)
@click.option(
    "--margin",
    type=click.FloatRange(0.0, 2.0),
    default=_DEFAULT_MARGIN,
    show_default=True,
    help="Half width of the ranges as a share of what was measured.",
)
@click.option("--namespace", default="", help="Namespace of the recorded graph.")
def identify(recording: Path, out: Path, prongs: int, margin: float, namespace: str) -> None:
    """Fit servo gain, friction, latency and valve friction to RECORDING.

    That is a folder of `pitaya excite`, or the folder `recording` which `pitaya up ... record:=true` wrote. Any motion
    of a few seconds that turns the valve will do, such as two episodes of an Adapt goal. Writes ranges around what was
    measured, for `pitaya train dclaw-turn-dynamics --ranges FILE`. Nothing moves.
    """
    from meta_rl_core.families.dynamics_file import write_ranges
    from pitaya_nodes.recorded_steps import read_steps
    from sim_bridge.identify.fit import fit_body
    from sim_bridge.identify.report import make_ranges, tell

    inner = recording / "recording"
    steps = read_steps(inner if inner.is_dir() else recording, namespace)
    fit = fit_body(steps, prongs)
    write_ranges(out, make_ranges(fit, margin), {"recording": str(recording), **tell(fit)})
    for name, value in tell(fit).items():
        click.echo(f"{name:24} {value}")
    if not fit.valve_friction_known:
        click.echo(
            f"the valve moved in {fit.touched} periods only: its friction is not known, the whole range is kept"
        )
    click.echo(f"written: {out}")
