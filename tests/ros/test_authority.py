# SPDX-License-Identifier: Apache-2.0
"""A policy whose authority grows with what it knows: small steps first, and every one of them is learnt from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from meta_rl_core.bundle import load_bundle
from pitaya_nodes.convert import stamp_ns
from tests.ros.graph import Graph


def test_the_first_steps_of_a_goal_are_small_and_all_steps_count(graph: Graph, bundle: Path) -> None:
    graph.up({"policy_node": {"least_authority": 0.1}}, bundle=str(bundle))
    probe = graph.probe
    outcome = probe.result(probe.send(steps_per_episode=30)).result
    assert (outcome.accepted, outcome.rejected) == (30, 0)
    action = load_bundle(bundle).robot.action
    assert action.max_step is not None
    measured = {
        stamp_ns(state.header.stamp): dict(zip(state.name, state.position, strict=True))
        for state in probe.heard["joint_states"]
    }
    first = probe.heard["executed_command"][0]
    before = measured[stamp_ns(first.header.stamp)]
    way = np.array(first.position) - [before[joint] for joint in first.joint_names]
    # Nothing is known yet: a tenth of what the policy asks for, and it may ask for no more than a whole step.
    assert 0.0 < np.abs(way).max() <= 0.1 * action.max_step.max() + 1e-6
