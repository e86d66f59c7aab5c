# SPDX-License-Identifier: Apache-2.0
"""Saving, loading and resetting a belief while the graph runs."""

import json
from pathlib import Path

import pytest
from pitaya_msgs.srv import LoadBelief, SaveBelief
from std_srvs.srv import Trigger

from tests.ros.graph import Graph


@pytest.fixture(scope="module")
def running(module_graph: Graph, bundle: Path) -> Graph:
    return module_graph.up(bundle=str(bundle))


def save(graph: Graph, path: Path) -> SaveBelief.Response:
    return graph.probe.call(SaveBelief, "policy_node/save_belief", SaveBelief.Request(path=str(path)))


def load(graph: Graph, path: Path) -> LoadBelief.Response:
    return graph.probe.call(LoadBelief, "policy_node/load_belief", LoadBelief.Request(path=str(path)))


def reset(graph: Graph) -> Trigger.Response:
    return graph.probe.call(Trigger, "policy_node/reset_belief", Trigger.Request())


def believed(graph: Graph, transitions: int) -> object:
    heard = graph.probe.heard["policy_node/belief"]
    graph.probe.until(lambda: heard[-1].transitions == transitions)
    return heard[-1]


def test_a_saved_belief_comes_back_to_the_bit_and_is_gone_after_a_reset(
    running: Graph, tmp_path: Path
) -> None:
    outcome = running.probe.result(running.probe.send(steps_per_episode=7))
    kept = outcome.result.belief
    assert save(running, tmp_path / "belief.json").success
    assert [path.name for path in tmp_path.iterdir()] == ["belief.json"]

    assert reset(running).success
    prior = believed(running, 0)
    assert list(prior.mean) == [0.0] * 5
    assert list(prior.std) == [1.0] * 5

    assert load(running, tmp_path / "belief.json").success
    loaded = believed(running, 7)
    assert loaded.mean == kept.mean
    assert loaded.evidence_precision == kept.evidence_precision
    again = running.probe.result(
        running.probe.send(steps_per_episode=3, reset_belief=False, exploration_episodes=0)
    )
    assert again.result.belief.transitions == 10


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read belief"),
        ("", "not valid JSON"),
        ("[1, 2]", "must be a JSON object"),
        ("{}", "state_version"),
        ('{"state_version": NaN}', "NaN is not allowed"),
        ("[" * 100_000, "not valid JSON"),
        (" " * 2_000_000, "more than the allowed"),
    ],
)
def test_a_file_that_is_no_belief_is_refused_and_changes_nothing(
    running: Graph, tmp_path: Path, content: str | None, said: str
) -> None:
    path = tmp_path / "belief.json"
    if content is not None:
        path.write_text(content)
    assert reset(running).success
    answer = load(running, path)
    assert not answer.success
    assert said in answer.message
    assert believed(running, 0).transitions == 0


def test_a_belief_of_another_policy_is_refused(running: Graph, tmp_path: Path) -> None:
    path = tmp_path / "belief.json"
    assert save(running, path).success
    fields = json.loads(path.read_text())
    fields["bundle_hash"] = "0" * 64
    path.write_text(json.dumps(fields))
    answer = load(running, path)
    assert not answer.success
    assert "belongs to the policy with hash" in answer.message


def test_a_belief_that_cannot_be_written_leaves_no_trace(running: Graph, tmp_path: Path) -> None:
    answer = save(running, tmp_path / "missing" / "belief.json")
    assert not answer.success
    assert "No such file or directory" in answer.message
    assert not save(running, Path()).success


def test_while_a_goal_runs_the_belief_can_be_saved_but_not_replaced(running: Graph, tmp_path: Path) -> None:
    handle = running.probe.send(steps_per_episode=100_000)
    running.probe.until(lambda: running.probe.heard["policy_node/belief"][-1].transitions > 5)
    assert save(running, tmp_path / "belief.json").success
    assert "an Adapt goal runs" in reset(running).message
    assert "an Adapt goal runs" in load(running, tmp_path / "belief.json").message
    running.probe.until(handle.cancel_goal_async().done)
    running.probe.result(handle)
