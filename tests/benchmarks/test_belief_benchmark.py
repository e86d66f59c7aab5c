# SPDX-License-Identifier: Apache-2.0
"""The belief benchmark measures what it says, on the same posterior either way."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from benchmarks.belief import Setting, make_encoder, measure, observe, recompute
from benchmarks.report import describe_machine, write_report
from meta_rl_core.belief import TaskBelief

SMALL = Setting(
    context_dim=4,
    latent_dim=2,
    hidden=8,
    observations_per_repetition=5,
    repetitions=4,
    recomputed_rows=1,
    sizes=(3, 20),
)


def test_observing_one_by_one_gives_the_recomputed_belief() -> None:
    generator = np.random.default_rng(0)
    encoder, context = make_encoder(SMALL, generator), generator.normal(size=(50, 4))
    streamed = TaskBelief.prior(2)
    for row in context:
        streamed = observe(streamed, encoder, row)
    whole = recompute(encoder, context, 2)
    np.testing.assert_allclose(streamed.mean, whole.mean, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(streamed.variance, whole.variance, rtol=1e-6)


def test_times_are_per_transition_and_compared_between_sizes() -> None:
    ticks = count()
    # Every look at this clock is one second later: each repetition of 5 observations seems to take 1 s.
    results = measure(SMALL, clock=lambda: float(next(ticks)))
    assert [row["transitions"] for row in results["by_transitions"]] == [3, 20]
    assert [row["observe_us"] for row in results["by_transitions"]] == pytest.approx([2e5, 2e5])
    assert [row["recompute_us"] for row in results["by_transitions"]] == pytest.approx([1e6, 1e6])
    assert (results["largest_difference"], results["constant"]) == (0.0, True)


def test_a_report_carries_the_machine_it_was_measured_on(tmp_path: Path) -> None:
    write_report(tmp_path / "new" / "f.json", {"benchmark": "x"})
    report = json.loads((tmp_path / "new" / "f.json").read_text())
    assert report["benchmark"] == "x"
    assert set(report["machine"]) == set(describe_machine())
    assert {"cpu_model", "cpu_features", "python", "commit", "packages"} <= set(report["machine"])
