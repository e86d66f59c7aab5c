# SPDX-License-Identifier: Apache-2.0
"""What does not count is told: refused transitions, rewards that stay away, people who interfere."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from lifecycle_msgs.msg import Transition
from std_msgs.msg import Bool

from pitaya_nodes import qos
from tests.ros.graph import Graph


def test_rewards_that_stay_away_pause_adaptation_and_the_robot_moves_on(graph: Graph, bundle: Path) -> None:
    graph.up(bundle=str(bundle), mode="real_time")
    probe, statuses = graph.probe, graph.probe.heard["policy_node/status"]
    beliefs, refusals = probe.heard["policy_node/belief"], probe.heard["policy_node/refusals"]
    probe.send(steps_per_episode=100_000)
    probe.until(lambda: beliefs and beliefs[-1].transitions >= 3)
    assert probe.change("reward_node", Transition.TRANSITION_DEACTIVATE)
    probe.until(lambda: "adaptation is paused and z is kept" in statuses[-1].reason)
    assert len(refusals) >= 10
    assert {(item.reason, item.detail) for item in refusals} == {
        ("incomplete", "these never came: the reward")
    }
    assert [item.step for item in refusals] == sorted({item.step for item in refusals})
    learnt, commands = beliefs[-1].transitions, len(probe.heard["executed_command"])
    probe.until(lambda: len(probe.heard["executed_command"]) > commands + 5)
    assert beliefs[-1].transitions == learnt
    probe.until(lambda: int(probe.diagnosed("/policy_node: transitions", "refused: incomplete") or 0) >= 10)

    assert probe.change("reward_node", Transition.TRANSITION_ACTIVATE)
    probe.until(lambda: beliefs[-1].transitions > learnt and "paused" not in statuses[-1].reason)
    count = len(refusals)
    probe.until(lambda: refused_in_journal(graph) >= count)


def refused_in_journal(graph: Graph) -> int:
    path = graph.folder / "journal" / "policy_node.sqlite"
    with closing(sqlite3.connect(path)) as database:
        query = "SELECT count(*) FROM refusal WHERE reason = 'incomplete'"
        return int(database.execute(query).fetchone()[0])


def test_steps_in_which_somebody_interferes_do_not_count(graph: Graph, bundle: Path) -> None:
    graph.up(bundle=str(bundle))
    probe, refusals = graph.probe, graph.probe.heard["policy_node/refusals"]
    hand = probe.create_publisher(Bool, "intervention", qos.LATCHED)
    hand.publish(Bool(data=True))
    probe.meet("policy_node")
    probe.until(lambda: hand.get_subscription_count() == 1)
    hand.publish(Bool(data=True))
    hand.wait_for_all_acked()
    touched = probe.result(probe.send(steps_per_episode=6)).result
    assert (touched.accepted, touched.rejected, touched.belief.transitions) == (0, 6, 0)
    probe.until(lambda: len(refusals) == 6)
    assert {item.reason for item in refusals} == {"intervention"}
    hand.publish(Bool(data=False))
    hand.wait_for_all_acked()
    probe.spin(0.2)
    free = probe.result(probe.send(steps_per_episode=6)).result
    assert (free.accepted, free.rejected) == (6, 0)
