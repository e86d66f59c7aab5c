# SPDX-License-Identifier: Apache-2.0
"""The policy process is killed, its disk fails, it is told to stop: what the next one stands there with."""

from __future__ import annotations

import resource
import signal
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from pitaya_msgs.msg import PolicyStatus

from tests.ros.graph import Graph


def journal(graph: Graph, **more: Any) -> dict[str, dict[str, Any]]:
    return {"policy_node": {"journal": str(graph.folder / "journal"), **more}}


def restart(graph: Graph, number: signal.Signals, **more: Any) -> Any:
    """Ends the policy node by a signal, starts it again, and gives the belief it stands there with."""
    child = graph.child("policy_node")
    child.process.send_signal(number)
    child.process.wait(30)
    graph.probe.spin(0.3)  # what it said last
    graph.processes.children.remove(child)
    beliefs, statuses = graph.probe.heard["policy_node/belief"], graph.probe.heard["policy_node/status"]
    beliefs.clear()
    statuses.clear()
    parameters = {**child.spec.parameters, **more}
    graph.processes.start(type(child.spec)(**{**vars(child.spec), "parameters": parameters}))
    if not graph.probe.change("policy_node", Transition.TRANSITION_CONFIGURE):
        return None
    assert graph.probe.change("policy_node", Transition.TRANSITION_ACTIVATE)
    graph.probe.until(lambda: statuses and statuses[-1].mode == PolicyStatus.READY)
    return graph.probe.until(lambda: beliefs[-1] if beliefs else None)


def journal_line(graph: Graph) -> DiagnosticStatus:
    """What the latest diagnostics say of the journal."""
    lines = (s for array in reversed(graph.probe.heard["/diagnostics"]) for s in array.status)
    return next(s for s in lines if s.name == "/policy_node: journal")


def same(one: Any, other: Any) -> bool:
    names = ("evidence_precision", "evidence_precision_mean", "z", "mean", "std", "transitions", "episode")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def test_a_killed_policy_stands_ready_with_the_belief_it_had(graph: Graph, bundle: Path) -> None:
    graph.up(journal(graph), bundle=str(bundle), mode="real_time")
    probe = graph.probe
    beliefs, commands = probe.heard["policy_node/belief"], probe.heard["joint_command"]
    probe.send(steps_per_episode=100_000)
    probe.until(lambda: beliefs and beliefs[-1].transitions >= 12)
    told = list(beliefs)
    restored = restart(graph, signal.SIGKILL)
    told += beliefs[:-1]
    # The belief is one of those that were told before, to the bit, and at most one transition is missing.
    assert any(same(restored, belief) for belief in told)
    assert restored.transitions >= max(belief.transitions for belief in told) - 1
    status = probe.heard["policy_node/status"][-1]
    assert f"an interrupted adaptation is back with {restored.transitions} transitions" in status.reason
    sent = len(commands)
    probe.spin(0.5)
    assert len(commands) == sent, "a restarted policy must not move anything"
    outcome = probe.result(probe.send(steps_per_episode=3, reset_belief=False, exploration_episodes=0))
    assert outcome.result.belief.transitions == restored.transitions + 3


def test_only_an_adaptation_that_had_not_ended_comes_back_and_nothing_that_a_goal_forgot(
    graph: Graph, bundle: Path
) -> None:
    graph.up(journal(graph), bundle=str(bundle))
    probe, beliefs = graph.probe, graph.probe.heard["policy_node/belief"]
    probe.result(probe.send(steps_per_episode=7))
    assert restart(graph, signal.SIGTERM).transitions == 0
    probe.result(probe.send(steps_per_episode=7))
    beliefs.clear()
    probe.send(steps_per_episode=100_000, reset_belief=True)
    probe.until(lambda: beliefs and beliefs[-1].transitions == 0)
    restored = restart(graph, signal.SIGKILL)
    assert restored.episode == 0
    beliefs.clear()  # the restored one may hold more than five already
    probe.send(steps_per_episode=100_000)
    probe.until(lambda: beliefs and beliefs[-1].transitions > 5)
    assert restart(graph, signal.SIGTERM).transitions > 5


def test_a_belief_made_on_other_hardware_is_refused_until_it_is_given_up(graph: Graph, bundle: Path) -> None:
    graph.up(journal(graph, hardware_fingerprint="left"), bundle=str(bundle))
    probe = graph.probe
    probe.send(steps_per_episode=100_000)
    probe.until(lambda: probe.heard["policy_node/belief"][-1].transitions > 5)
    assert restart(graph, signal.SIGKILL, hardware_fingerprint="right") is None
    refusal = probe.until(
        lambda: [s.reason for s in probe.heard["policy_node/status"] if "configure refused" in s.reason]
    )[-1]
    assert "on the hardware 'left', this is 'right'" in refusal
    assert (
        restart(graph, signal.SIGTERM, hardware_fingerprint="right", journal_restore=False).transitions == 0
    )


def test_a_full_disk_is_told_within_a_second_and_never_stops_the_robot(graph: Graph, bundle: Path) -> None:
    graph.up(journal(graph), bundle=str(bundle), mode="real_time")
    probe, statuses = graph.probe, graph.probe.heard["policy_node/status"]
    beliefs = probe.heard["policy_node/belief"]
    probe.send(steps_per_episode=100_000)
    probe.until(lambda: beliefs and beliefs[-1].transitions >= 5)
    pid = graph.child("policy_node").process.pid
    wal = graph.folder / "journal" / "policy_node.sqlite-wal"
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (wal.stat().st_size, resource.RLIM_INFINITY))
    failed_ns = probe.get_clock().now().nanoseconds
    told = probe.until(lambda: next((s for s in reversed(statuses) if "is not written" in s.reason), None))
    assert told.mode == PolicyStatus.ACTIVE
    assert (probe.get_clock().now().nanoseconds - failed_ns) * 1e-9 < 10.0
    probe.until(lambda: journal_line(graph).level == DiagnosticStatus.WARN)
    learnt = beliefs[-1].transitions
    probe.until(lambda: beliefs[-1].transitions > learnt + 5)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    healed = len(statuses)
    probe.until(lambda: any("is not written" not in s.reason for s in statuses[healed:]))
    learnt = beliefs[-1].transitions
    probe.until(lambda: beliefs[-1].transitions > learnt)  # of those told one may be lost, so none of these
    assert restart(graph, signal.SIGKILL).transitions >= learnt
