# SPDX-License-Identifier: Apache-2.0
"""What was executed just before the gate let nothing pass is taken back out of the belief, also after a crash."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from pitaya_msgs.msg import GateStatus
from std_msgs.msg import Bool

from pitaya_nodes import qos
from pitaya_nodes.convert import stamp_ns
from tests.ros.graph import Graph
from tests.ros.test_crash import journal, restart, same

PERIOD_NS, PROOF_NS = 100_000_000, 800_000_000


def stop(graph: Graph, button: Any) -> int:
    """An emergency stop; gives the stamp of the newest state that the gate knew then [ns]."""
    probe, statuses = graph.probe, graph.probe.heard["command_gate/status"]
    button.publish(Bool(data=True))
    stopped = probe.until(lambda: next((s for s in statuses if s.mode == GateStatus.STOPPED), None))
    return stamp_ns(stopped.state_stamp)


def proven(belief: Any, known_ns: int) -> bool:
    """Whether the last transition of a belief ended long enough before the doubt."""
    return bool(stamp_ns(belief.header.stamp) + PERIOD_NS <= known_ns - PROOF_NS)


def adapt(graph: Graph, bundle: Path) -> tuple[Any, Any]:
    """A goal in mid-episode, after 15 steps in real time, and an emergency stop button at hand."""
    graph.up(journal(graph), bundle=str(bundle), mode="real_time")
    beliefs = graph.probe.heard["policy_node/belief"]
    button = graph.probe.create_publisher(Bool, "emergency_stop", qos.COMMAND)
    graph.probe.until(lambda: button.get_subscription_count() > 0)
    handle = graph.probe.send(steps_per_episode=100_000)
    graph.probe.until(lambda: beliefs and beliefs[-1].transitions >= 15)
    return handle, button


def test_the_belief_is_again_what_it_was_before_the_steps_that_are_in_doubt(
    graph: Graph, bundle: Path
) -> None:
    handle, button = adapt(graph, bundle)
    probe = graph.probe
    beliefs, refusals = probe.heard["policy_node/belief"], probe.heard["policy_node/refusals"]
    known_ns = stop(graph, button)
    result = probe.result(handle).result
    probe.spin(0.3)
    told = [belief for belief in beliefs if belief.transitions]
    newest = max(told, key=lambda belief: belief.transitions)
    last = max((belief for belief in told if proven(belief, known_ns)), key=lambda belief: belief.transitions)
    assert same(result.belief, last)
    assert same(beliefs[-1], last)
    assert result.accepted == last.transitions
    assert newest.transitions - last.transitions >= 8
    back = [
        item for item in refusals if item.detail.startswith("it was taken back out of the belief: emergency")
    ]
    assert len(back) == newest.transitions - last.transitions
    assert {item.reason for item in back} == {"intervention"}
    assert not any(proven(item, known_ns) for item in back)
    # On disk it is taken back as well.
    restored = restart(graph, signal.SIGKILL)
    assert same(restored, last)


def test_a_policy_that_was_killed_takes_back_what_the_gate_doubts_once_it_is_there_again(
    graph: Graph, bundle: Path
) -> None:
    _, button = adapt(graph, bundle)
    probe, beliefs = graph.probe, graph.probe.heard["policy_node/belief"]
    graph.child("policy_node").process.send_signal(signal.SIGKILL)
    known_ns = stop(graph, button)
    probe.spin(0.3)
    told = [belief for belief in beliefs if belief.transitions]
    last = max((belief for belief in told if proven(belief, known_ns)), key=lambda belief: belief.transitions)
    newest = told[-1].transitions
    restart(graph, signal.SIGKILL)
    probe.until(lambda: beliefs[-1].transitions < newest - 1)
    assert same(beliefs[-1], last)
    # An adaptation that a crash has interrupted is still one.
    assert same(restart(graph, signal.SIGKILL), last)
    assert "an interrupted adaptation is back" in probe.heard["policy_node/status"][-1].reason


def test_a_goal_that_goes_on_from_a_belief_does_not_put_its_last_steps_beyond_doubt(
    graph: Graph, bundle: Path
) -> None:
    handle, button = adapt(graph, bundle)
    probe, beliefs = graph.probe, graph.probe.heard["policy_node/belief"]
    handle.cancel_goal_async()
    learnt = probe.result(handle).result.belief.transitions
    probe.send(steps_per_episode=100_000, reset_belief=False)
    probe.until(lambda: beliefs[-1].transitions > learnt)
    stop(graph, button)
    # The new episode has just begun: eight steps go, most of them those of the goal before.
    probe.until(lambda: beliefs[-1].transitions < learnt)
