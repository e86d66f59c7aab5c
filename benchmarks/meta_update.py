# SPDX-License-Identifier: Apache-2.0
"""Time of one PEARL update at the published sizes, beside a plain eager float32 version of the same equations.

    python -m benchmarks.meta_update --json benchmarks/results/meta_update.json

16 tasks of 256 transitions and 100 context transitions, actor and critics of 3 x 300, encoder of 3 x 200, the
sizes of the half-cheetah. Both take turns in one process, so that what else runs on the machine slows both; on one
thread, since on a shared machine threads that wait for each other measure the neighbours.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.plain_pearl import PlainUpdate
from benchmarks.report import describe_machine, write_report
from meta_rl_core.networks.fused_mlp import can_fuse
from meta_rl_core.pearl.agent import Agent, context_dim
from meta_rl_core.pearl.batch import Batch
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.memory import keep_freed_memory
from meta_rl_core.pearl.precision import has_bfloat16
from meta_rl_core.pearl.presets import make_config
from meta_rl_core.pearl.sac_v1 import SacV1Update
from meta_rl_core.tasks import FamilySpec

SPEC = FamilySpec("cheetah-vel", 20, 6, ("v",), ("target",), 200, 0.05, "dense")


def make_update(config: PearlConfig, spec: FamilySpec = SPEC) -> SacV1Update:
    """Fresh networks of the published update."""
    generator = torch.Generator().manual_seed(config.seed)
    return SacV1Update(spec, config, Agent(spec, config, generator), generator)


def make_batch(config: PearlConfig, spec: FamilySpec = SPEC) -> Batch:
    """Random transitions of the sizes in `config`; what they hold does not change the time."""
    generator = torch.Generator().manual_seed(config.seed + 1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(config.meta_batch, *shape, generator=generator)

    rows = config.batch_size
    return Batch(
        normal(rows, spec.observation_dim),
        normal(rows, spec.action_dim).tanh(),
        normal(rows),
        normal(rows, spec.observation_dim),
        torch.zeros(config.meta_batch, rows),
        normal(config.context_size, context_dim(spec, config)),
    )


def measure(repeats: int, *, reduced: bool, native: bool = True) -> dict[str, Any]:
    """Median times [ms] of both versions over `repeats` updates each, in turns, after two to warm up."""
    keep_freed_memory()
    config = make_config("cheetah-vel", "paper", reduced_precision=reduced, native_networks=native)
    batch, ours = make_batch(config), make_update(config)
    plain = PlainUpdate(ours)
    generator = torch.Generator().manual_seed(2)
    times = np.empty((repeats + 2, 2))
    for row in times:
        for column, step in enumerate((plain.step, ours.step)):
            started = time.perf_counter()
            step(batch, generator)
            row[column] = 1e3 * (time.perf_counter() - started)
    reference, ours_taken = times[2:].T
    ratios = reference / ours_taken
    in_bfloat16 = reduced and has_bfloat16("cpu")
    return {
        "reference_ms": float(np.median(reference)),
        "ours_ms": float(np.median(ours_taken)),
        "speedup": float(np.median(ratios)),
        "speedup_quartiles": np.quantile(ratios, [0.25, 0.75]).tolist(),
        "dtype": "bfloat16" if in_bfloat16 else "float32",
        "native_networks": native and can_fuse(bfloat16=in_bfloat16),
        "threads": torch.get_num_threads(),
        "repeats": repeats,
        "cpu_features": describe_machine()["cpu_features"],
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--json", type=Path, default=None, help="write the result here instead of printing it"
    )
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1, help="torch threads, 1 by default")
    parser.add_argument("--float32", action="store_true", help="time ours without reduced precision")
    parser.add_argument("--pytorch", action="store_true", help="time ours without the networks in C++")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    write_report(
        options.json, measure(options.repeats, reduced=not options.float32, native=not options.pytorch)
    )


if __name__ == "__main__":
    main()
