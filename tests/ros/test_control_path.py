# SPDX-License-Identifier: Apache-2.0
"""The control path benchmark measures both chains and reports what it promises."""

from pathlib import Path

from benchmarks.control_path import Setting, measure
from benchmarks.fast_bundle import with_period
from meta_rl_core.bundle import load_bundle


def test_both_chains_answer_and_all_fields_are_there(bundle: Path) -> None:
    results = measure(Setting(blocks=2, block_messages=20, warm_up_messages=20), bundle)
    assert results["messages"] == 40
    assert results["reference_lost"] <= 2  # a busy machine may keep a best-effort reader waiting too long
    assert results["lost"] <= 2
    for prefix in ("", "reference_"):
        assert 0.0 < results[f"{prefix}median_ms"] <= results[f"{prefix}p99_ms"] <= results[f"{prefix}max_ms"]
    assert results["median_ratio"] > 0.0
    assert set(results["cpu_share"]) == {"policy_node", "command_gate", "bare_policy", "bare_gate"}


def test_a_bundle_with_another_period_is_the_same_policy(bundle: Path, tmp_path: Path) -> None:
    slow, fast = load_bundle(bundle), load_bundle(with_period(bundle, tmp_path / "fast", 0.01))
    assert (slow.robot.period_s, fast.robot.period_s) == (0.1, 0.01)
    assert {name: value.tobytes() for name, value in slow.weights.items()} == {
        name: value.tobytes() for name, value in fast.weights.items()
    }
