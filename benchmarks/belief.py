# SPDX-License-Identifier: Apache-2.0
"""Time per observed transition, whatever the belief holds already, beside recomputing from all of them.

Observing runs the encoder on one transition and adds its factor to two sums. Recomputing runs the encoder on
every transition so far, as PEARL's published code does at each inference.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import write_report
from meta_rl_core.belief import TaskBelief
from meta_rl_core.runtime.inference import Network, gaussian_factor
from meta_rl_core.runtime.layers import Layer, parameter_shapes

Array = NDArray[np.float64]
SIZES = (10, 1_000, 1_000_000)
ALLOWED_SPREAD = 0.10
_BLOCK_ROWS = 10_000


@dataclass(frozen=True)
class Setting:
    """What is measured: sizes of the paper's encoder (three hidden layers of 200) on D'Claw's turn task."""

    context_dim: int = 41
    latent_dim: int = 5
    hidden: int = 200
    observations_per_repetition: int = 200
    repetitions: int = 101
    recomputed_rows: int = 100_000
    sizes: tuple[int, ...] = SIZES


def make_encoder(setting: Setting, generator: np.random.Generator) -> Network:
    """An encoder of the paper's size with random weights; speed does not depend on them."""
    widths = (setting.context_dim, setting.hidden, setting.hidden, setting.hidden, 2 * setting.latent_dim)
    layers: list[Layer] = []
    for inputs, outputs in pairwise(widths):
        layers += [Layer("linear", inputs, outputs), Layer("relu")]
    layers.pop()
    shapes = parameter_shapes(layers, "encoder")
    weights = {name: generator.normal(size=shape) / np.sqrt(shape[-1]) for name, shape in shapes.items()}
    return Network(layers, weights, "encoder")


def observe(belief: TaskBelief, encoder: Network, row: Array) -> TaskBelief:
    """One streaming update, as the adapter does it."""
    return belief.observe(*gaussian_factor(encoder(row)))


def recompute(encoder: Network, context: Array, latent_dim: int) -> TaskBelief:
    """The posterior from the whole context, in blocks so that memory stays bounded."""
    belief = TaskBelief.prior(latent_dim)
    for start in range(0, len(context), _BLOCK_ROWS):
        block = context[start : start + _BLOCK_ROWS]
        belief = belief.observe(*gaussian_factor(encoder.batch(block)), transitions=len(block))
    return belief


def measure(setting: Setting, clock: Callable[[], float] = time.perf_counter) -> dict[str, Any]:
    """Runs the measurement; sizes take turns, so that a slow moment of the machine hits all of them alike."""
    generator = np.random.default_rng(0)
    encoder = make_encoder(setting, generator)
    context: Array = generator.standard_normal((max(setting.sizes), setting.context_dim))
    recomputed = {size: _time_recompute(encoder, context[:size], setting, clock) for size in setting.sizes}
    rows = context[: setting.observations_per_repetition]
    seconds: dict[int, list[float]] = {size: [] for size in setting.sizes}
    for repetition in range(setting.repetitions):
        turn = repetition % len(setting.sizes)
        for size in (*setting.sizes[turn:], *setting.sizes[:turn]):
            belief, started = recomputed[size][0], clock()
            for row in rows:
                belief = observe(belief, encoder, row)
            seconds[size].append((clock() - started) / len(rows))
    streaming = {size: statistics.median(values) for size, values in seconds.items()}
    recomputing = {size: timed for size, (_, timed) in recomputed.items()}
    return _results(setting, streaming, seconds, recomputing)


def _time_recompute(
    encoder: Network, context: Array, setting: Setting, clock: Callable[[], float]
) -> tuple[TaskBelief, float]:
    """The belief and the median time to compute it; a large context is computed once."""
    seconds = []
    for _ in range(min(21, max(1, setting.recomputed_rows // len(context)))):
        started = clock()
        belief = recompute(encoder, context, setting.latent_dim)
        seconds.append(clock() - started)
    return belief, statistics.median(seconds)


def _results(
    setting: Setting,
    streaming: dict[int, float],
    seconds: dict[int, list[float]],
    recomputing: dict[int, float],
) -> dict[str, Any]:
    fastest = min(streaming.values())
    spread = max(streaming.values()) / fastest - 1.0
    return {
        "benchmark": "belief",
        "by_transitions": [
            {
                "transitions": size,
                "observe_us": 1e6 * streaming[size],
                "observe_us_p10": 1e6 * float(np.quantile(seconds[size], 0.1)),
                "observe_us_p90": 1e6 * float(np.quantile(seconds[size], 0.9)),
                "recompute_us": 1e6 * recomputing[size],
                "speedup": recomputing[size] / streaming[size],
            }
            for size in setting.sizes
        ],
        "largest_difference": spread,
        "allowed_difference": ALLOWED_SPREAD,
        "constant": spread <= ALLOWED_SPREAD,
        "encoder": f"{setting.context_dim}-{setting.hidden}x3-{2 * setting.latent_dim}",
        "repetitions": setting.repetitions,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints a table and writes the JSON; exit status 0 exactly if the time is constant."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.belief", description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--repetitions", type=int, default=Setting.repetitions, help="rounds over all sizes")
    options = parser.parse_args(arguments)
    if options.repetitions < 1:
        parser.error(f"--repetitions must be 1 or more, got {options.repetitions}")
    results = measure(Setting(repetitions=options.repetitions))
    print(f"{'in the belief':>14} {'observe one':>14} {'recompute all':>16}")
    for row in results["by_transitions"]:
        print(f"{row['transitions']:>14,} {row['observe_us']:>11.1f} us {row['recompute_us']:>13,.0f} us")
    print(f"largest difference between sizes: {100 * results['largest_difference']:.1f} % (allowed 10 %)")
    if options.json is not None:
        write_report(options.json, results)
    return 0 if results["constant"] else 1


if __name__ == "__main__":
    sys.exit(main())
