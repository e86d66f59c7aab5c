# SPDX-License-Identifier: Apache-2.0
"""Row 24: the same seed again and again, each time in new processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.lockstep_determinism import COMPARED, digest, run_once
from pitaya_nodes.demo_run import DemoSettings
from tests.faults.tally import Tally
from tests.helpers.bundles import make_random_bundle

_STEPS = 40
_EPISODES, _EPISODES_OF_FEW = 250, 12
"""10,000 steps a run, or a shorter run where there are few."""
_FEW = 20


def repeated_runs(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 24: each case is one run of the whole graph, compared with the first by SHA-256 of what it sent."""
    bundle = make_random_bundle(folder / "policy").path
    episodes = _EPISODES if cases >= _FEW else _EPISODES_OF_FEW
    settings = DemoSettings(
        bundle=bundle,
        plant="dclaw",
        family="",
        task_seed=int(generator.integers(1000)),
        seed=int(generator.integers(1000)),
        episodes=episodes,
        steps=_STEPS,
        exploration_episodes=2,
        real_time=False,
        folder=folder,
    )
    tally, first = Tally(), {}
    for index in range(cases):
        log = run_once(settings)
        digests = {topic: digest(log[topic]) for topic in COMPARED}
        first = first or digests
        different = [topic for topic in COMPARED if digests[topic] != first[topic]]
        tally.case(f"run {index} differs from the first on {', '.join(different)}" if different else "")
    tally.measured = {
        "steps per run": _STEPS * episodes,
        "SHA-256 of executed_command": first["/executed_command"],
    }
    return tally
