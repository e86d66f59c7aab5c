# SPDX-License-Identifier: Apache-2.0
"""The whole graph: plant, policy, gate, reward and recorder as processes over DDS."""

import itertools
from pathlib import Path

import numpy as np
from action_msgs.msg import GoalStatus

from pitaya_nodes.recording import read_messages, read_trace
from tests.helpers.bundles import make_random_bundle
from tests.ros.graph import Graph


def test_three_episodes_put_forty_transitions_each_into_the_belief(graph: Graph, bundle: Path) -> None:
    graph.up(bundle=str(bundle), task_seed="7", record="true", out=str(graph.folder))
    probe, feedback = graph.probe, []
    outcome = probe.result(probe.send(feedback, episodes=3, exploration_episodes=2))

    assert outcome.status == GoalStatus.STATUS_SUCCEEDED
    assert [item.belief.transitions for item in feedback] == [40, 80, 120]
    assert [item.episode for item in feedback] == [0, 1, 2]
    assert (outcome.result.accepted, outcome.result.rejected) == (120, 0)
    assert len(outcome.result.returns) == len(outcome.result.final_errors) == 3
    assert outcome.result.adapted == outcome.result.successes[-1]
    assert all(0.0 < std < 1.0 for std in outcome.result.belief.std)

    graph.processes.stop()
    check_recording(graph.folder / "recording", bundle, outcome.result)


def check_recording(directory: Path, bundle: Path, result: object) -> None:
    """What was recorded is what happened."""
    messages = read_messages(directory)
    commanded = {stamp(message): message for message in messages["/joint_command"]}
    executed = {stamp(message): message for message in messages["/executed_command"]}
    assert len(executed) == 120
    assert executed.keys() == commanded.keys()
    for key, message in executed.items():
        assert list(message.joint_names) == list(commanded[key].joint_names)
        np.testing.assert_array_equal(message.position, commanded[key].position)
    forwarded = [tuple(message.data) for message in messages["/forward_position_controller/commands"]]
    assert set(forwarded) == {tuple(message.position) for message in executed.values()}

    states = {stamp(message) for message in messages["/joint_states"]}
    rewards = {stamp(message): message.reward for message in messages["/reward"]}
    assert executed.keys() <= states
    trace = read_trace(directory, period_s=0.1, steps=40)
    assert [len(episode.time_s) for episode in trace.episodes] == [41, 41, 41]
    assert trace.task_seed == 7
    np.testing.assert_array_equal([episode.error[-1] for episode in trace.episodes], result.final_errors)
    ends = sorted(executed)[39::40]
    assert all(end in rewards for end in ends)


def stamp(message: object) -> tuple[int, int]:
    return (message.header.stamp.sec, message.header.stamp.nanosec)


def test_real_time_runs_the_same_loop_while_time_passes(graph: Graph, bundle: Path) -> None:
    graph.up(bundle=str(bundle), mode="real_time")
    probe = graph.probe
    outcome = probe.result(probe.send(steps_per_episode=15))
    assert outcome.status == GoalStatus.STATUS_SUCCEEDED
    # A busy machine may lose a state now and then; a step without its state must not count.
    assert outcome.result.accepted >= 10
    assert outcome.result.accepted + outcome.result.rejected == 15
    assert outcome.result.belief.transitions == outcome.result.accepted
    stamps = [stamp(message) for message in probe.heard["joint_states"]]
    steps = {round(1e9 * (b[0] - a[0]) + b[1] - a[1]) for a, b in itertools.pairwise(stamps)}
    assert 10_000_000 in steps  # 100 Hz


def test_another_plant_runs_by_its_import_path(graph: Graph, tmp_path: Path) -> None:
    point = make_random_bundle(tmp_path / "point", family="sparse-point-robot").path
    graph.up(bundle=str(point), plant="sim_bridge.point.plant:SparsePointPlant")
    outcome = graph.probe.result(graph.probe.send(episodes=2, exploration_episodes=2))
    assert outcome.result.message.startswith("2 episodes")
    assert outcome.result.rejected == 0
