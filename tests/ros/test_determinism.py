# SPDX-License-Identifier: Apache-2.0
"""Lock-step repeats to the byte, whatever the processes' timing; the benchmark runs the same over 10,000 steps."""

from pathlib import Path

from benchmarks.lockstep_determinism import COMPARED, run_twice
from pitaya_nodes.demo_run import DemoSettings


def test_the_same_seed_twice_gives_the_same_bytes_and_states_commands_and_beliefs(bundle: Path) -> None:
    settings = DemoSettings(
        bundle=bundle,
        plant="dclaw",
        family="",
        task_seed=7,
        seed=5,
        episodes=3,
        steps=25,
        exploration_episodes=1,
        real_time=False,
        folder=Path(),
    )
    results = run_twice(settings)
    assert results["first_difference"] == dict.fromkeys(COMPARED)
    assert results["identical"]
    # Each episode shows one state more than it has commands; states of before the first episode are recorded too.
    assert results["messages"]["/executed_command"] == 75
    assert results["messages"]["/joint_states"] >= 78
    # One belief per transition, and one when each episode begins.
    assert results["messages"]["/policy_node/belief"] >= 78
