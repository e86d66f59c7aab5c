# SPDX-License-Identifier: Apache-2.0
"""A policy that must be told where joints should go hears it on `goal`, and moves nothing before."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import Transition
from pitaya_msgs.srv import SetTask
from sensor_msgs.msg import JointState

from meta_rl_core.families.dclaw_turn import VALVE_JOINT
from meta_rl_core.registry import load_family
from pitaya_nodes import qos
from pitaya_nodes.bringup import NodeSpec, find_bringup
from pitaya_nodes.security_policy import endpoints_of, read_policy
from tests.helpers.bundles import make_random_bundle
from tests.ros.graph import REPOSITORY, Graph, Probe

FAMILY = "dclaw-turn-dynamics"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that is told the target of the valve."""
    return make_random_bundle(tmp_path_factory.mktemp("told") / "bundle", FAMILY).path


def goals_heard(probe: Probe) -> list[Any]:
    """Collects what the plant says on `goal`."""
    heard: list[Any] = []
    probe.create_subscription(JointState, "goal", heard.append, qos.LATCHED)
    return heard


def test_the_simulated_plant_tells_the_goal_of_the_task_it_poses_by_seed_and_by_value(
    graph: Graph, told: Path
) -> None:
    graph.up(bundle=str(told), family=FAMILY, task_seed="3", record="true", out=str(graph.folder))
    probe, heard = graph.probe, goals_heard(graph.probe)
    probe.until(lambda: heard)
    target = float(load_family(FAMILY).heldout_tasks(1, 3)[0][0])
    assert (list(heard[0].name), list(heard[0].position)) == ([VALVE_JOINT], [target])
    outcome = probe.result(probe.send(steps_per_episode=6))
    assert (outcome.status, outcome.result.accepted) == (GoalStatus.STATUS_SUCCEEDED, 6)
    policy = read_policy(REPOSITORY / "config" / "security" / "pitaya.policy.xml")
    for node in ("policy_node", "reward_node"):
        opened = endpoints_of(probe, node)
        assert "/goal" in opened.subscribe
        assert opened.subscribe <= policy[node].subscribe
    assert "/goal" in endpoints_of(probe, "sim_node").publish

    refused = probe.call(SetTask, "set_task", SetTask.Request(values=[0.5, 0.0, 0.1, 0.02, 3.0]))
    assert not refused.success
    assert "servo_gain_n_m_rad must be within [0.1, 50], got 0" in refused.message
    assert probe.call(SetTask, "set_task", SetTask.Request(values=[0.5, 9.0, 0.1, 0.02, 4.0])).success
    probe.until(lambda: heard[-1].position[0] == 0.5)
    before = len(probe.heard["reward"])
    outcome = probe.result(probe.send(steps_per_episode=6))
    assert outcome.result.accepted == 6
    probe.spin(0.2)
    valve = {stamp(state): state.position[-1] for state in probe.heard["joint_states"]}
    later = [reward for reward in probe.heard["reward"][before + 1 :] if stamp(reward) in valve]
    assert len(later) >= 4
    for reward in later:
        way = math.remainder(0.5 - valve[stamp(reward)], math.tau)
        assert reward.error == pytest.approx(abs(way), abs=1e-12)


def stamp(message: Any) -> tuple[int, int]:
    return (message.header.stamp.sec, message.header.stamp.nanosec)


# Before any test that publishes a goal: what is latched there would be heard here too.
def test_policy_and_judge_may_have_the_goal_from_the_start_and_then_go_by_it_alone(
    graph: Graph, told: Path
) -> None:
    at_start = {"policy_node": {"goal_position": [0.5]}, "reward_node": {"task_values": [0.5]}}
    graph.up(at_start, bundle=str(told), family=FAMILY, task_seed="-1")
    probe = graph.probe
    for _ in range(20):
        # An episode is over before DDS has introduced who listens to its states.
        if probe.heard["joint_states"]:
            break
        probe.result(probe.send(steps_per_episode=2))
        probe.spin(0.5)
    outcome = probe.result(probe.send(steps_per_episode=4))
    assert (outcome.status, outcome.result.accepted) == (GoalStatus.STATUS_SUCCEEDED, 4)
    (final_error,) = outcome.result.final_errors

    def judged() -> bool:
        ways = (math.remainder(0.5 - state.position[-1], math.tau) for state in probe.heard["joint_states"])
        return any(abs(abs(way) - final_error) < 1e-12 for way in ways)

    probe.until(judged)


def test_without_a_goal_nothing_moves_and_what_is_missing_is_named(graph: Graph, told: Path) -> None:
    patience = {"policy_node": {"plant_timeout_s": 2.0}}
    graph.up(patience, bundle=str(told), family=FAMILY, task_seed="-1")
    probe = graph.probe
    outcome = probe.result(probe.send(steps_per_episode=3))
    assert outcome.status == GoalStatus.STATUS_ABORTED
    assert f"the goal position of {VALVE_JOINT} is missing" in outcome.result.message
    assert "none came on /goal; publish it there" in outcome.result.message
    assert not probe.heard["executed_command"]

    outlet = probe.create_publisher(JointState, "goal", qos.LATCHED)
    hearing = {"policy_node", "reward_node"}
    probe.until(lambda: hearing <= {info.node_name for info in probe.get_subscriptions_info_by_topic("goal")})
    for name, position, kind in (
        (["knob"], [0.5], "JointMismatchError"),
        ([VALVE_JOINT], [math.nan], "BadReadingError"),
        ([VALVE_JOINT], [], "BadReadingError"),
    ):
        outlet.publish(JointState(name=name, position=position))
        for node in ("policy_node", "reward_node"):
            probe.until(lambda node=node, kind=kind: probe.diagnosed(f"/{node}: goal", f"refused: {kind}"))
    outcome = probe.result(probe.send(steps_per_episode=3))
    assert outcome.status == GoalStatus.STATUS_ABORTED
    assert "the last one was refused: position must have 1 numbers" in outcome.result.message
    assert not probe.heard["executed_command"]

    # A good one among joints that nobody asked for; the rest of the task stays unknown.
    outlet.publish(JointState(name=["knob", VALVE_JOINT], position=[9.0, -0.4]))
    probe.until(lambda: probe.diagnosed("/reward_node: goal", "count") == "4")
    outcome = probe.result(probe.send(steps_per_episode=3))
    assert (outcome.status, outcome.result.accepted) == (GoalStatus.STATUS_SUCCEEDED, 3)


def test_a_policy_that_is_told_nothing_refuses_a_goal_at_start(graph: Graph, bundle: Path) -> None:
    parameters = {"bundle": str(bundle), "goal_position": [0.5]}
    child = graph.processes.start(
        NodeSpec("policy_node", "pitaya_nodes", "policy_node", parameters=parameters)
    )
    assert not graph.probe.change("policy_node", Transition.TRANSITION_CONFIGURE)
    said = "the goal at start must be 0 finite numbers (positions of none, since this policy is told no goal)"
    graph.probe.until(lambda: said in child.log_tail(5))


def test_the_bring_up_of_a_real_hand_tells_the_policy_its_target_on_request_alone(told: Path) -> None:
    bring_up = find_bringup(str(REPOSITORY / "config" / "bringup" / "dclaw_robot.yaml"))
    hidden, shown = (
        next(
            spec
            for spec in bring_up.resolve({"bundle": str(told), "target_rad": "0.5", "tell_target": told_too})
            if spec.name == "policy_node"
        )
        for told_too in ("false", "true")
    )
    assert "goal_position" not in hidden.parameters
    assert shown.parameters == {**hidden.parameters, "goal_position": [0.5]}
