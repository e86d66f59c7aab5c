# SPDX-License-Identifier: Apache-2.0
"""The valve is swapped while the whole graph runs: the policy node notices, keeps what it knew and begins anew."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from pitaya_msgs.srv import LoadBelief, SetTask

from tests.ros.graph import Graph

EPISODES = 12
FORMER_RAD, PRESENT_RAD = -0.7, 1.6


def swap(graph: Graph, target_rad: float) -> None:
    assert graph.probe.call(SetTask, "set_task", SetTask.Request(values=[target_rad])).success


def told(graph: Graph) -> str:
    """The latest line about the task on /diagnostics."""
    for array in reversed(graph.probe.heard["/diagnostics"]):
        for status in array.status:
            if status.name == "/policy_node: task":
                return str(status.message)
    return ""


def changes(graph: Graph) -> list[tuple[int, bytes]]:
    """Transitions in the belief after each change that the journal tells of, and z."""
    (path,) = (graph.folder / "journal").glob("*.sqlite")
    database = sqlite3.connect(path)
    try:
        return database.execute("SELECT transitions, z FROM record WHERE event = 'change'").fetchall()
    finally:
        database.close()


@pytest.fixture
def adapted(graph: Graph, repository: Path) -> Iterator[Graph]:
    """The shipped policy, acting on its belief about a valve in the middle of a goal."""
    graph.up(bundle=str(repository / "policies" / "dclaw-turn"))
    swap(graph, FORMER_RAD)
    yield graph


def test_a_swapped_valve_is_noticed_in_mid_goal_and_adapted_to_in_the_same_goal(adapted: Graph) -> None:
    probe, feedback = adapted.probe, []
    handle = probe.send(feedback, episodes=EPISODES, exploration_episodes=2)
    probe.until(lambda: len(feedback) >= 3)
    assert told(adapted) in ("", "no change of the task")
    swap(adapted, PRESENT_RAD)
    said = probe.reason("the task has changed")
    assert "the belief is the prior again and the next episodes explore" in said
    probe.until(lambda: "the task has changed" in told(adapted))
    outcome = probe.result(handle).result
    assert len(outcome.returns) == EPISODES
    assert len(changes(adapted)) == 1
    assert changes(adapted)[0][0] == 0
    # What is believed in the end was learnt from the new valve alone.
    assert 0 < outcome.belief.transitions < 40 * (EPISODES - 2)

    (archived,) = (adapted.folder / "journal").glob("policy_node.before_change_*.json")
    former = json.loads(archived.read_text())
    assert 80 <= former["transitions"] <= 40 * EPISODES
    answer = probe.call(LoadBelief, "policy_node/load_belief", LoadBelief.Request(path=str(archived)))
    assert answer.success, answer.message
    probe.until(lambda: probe.heard["policy_node/belief"][-1].transitions == former["transitions"])


def test_a_policy_that_is_told_not_to_watch_keeps_its_belief(graph: Graph, repository: Path) -> None:
    graph.up({"policy_node": {"watch_task": False}}, bundle=str(repository / "policies" / "dclaw-turn"))
    swap(graph, FORMER_RAD)
    feedback: list[object] = []
    handle = graph.probe.send(feedback, episodes=5, exploration_episodes=2)
    graph.probe.until(lambda: len(feedback) >= 3)
    swap(graph, PRESENT_RAD)
    assert graph.probe.result(handle).result.belief.transitions == 5 * 40
    graph.probe.until(lambda: told(graph) == "not watched: watch_task is false")


def test_a_bundle_that_cannot_tell_says_so(graph: Graph, bundle: Path) -> None:
    graph.up(bundle=str(bundle))
    graph.probe.until(lambda: "the bundle cannot tell that its task has changed" in told(graph))
