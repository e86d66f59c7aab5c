# SPDX-License-Identifier: Apache-2.0
"""The policy node's modes over real DDS: late and bad joint states, missed deadlines, the gate's word."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from action_msgs.msg import GoalStatus
from pitaya_msgs.msg import GateStatus, JointCommand, PolicyStatus, StampedReward
from pitaya_msgs.srv import ResetPlant
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from pitaya_nodes import convert, qos
from pitaya_nodes.bringup import NodeSpec
from tests.ros.external_plant import FINGERS, VALVE
from tests.ros.graph import Graph

STEPS = 200


class Robot(Node):
    """A robot, its gate and its judge in one: states at 100 Hz, every command executed, every state judged."""

    def __init__(self, graph: Graph) -> None:
        super().__init__("robot", context=graph.probe.ros)
        self.position = dict.fromkeys((*FINGERS, VALVE), 0.1)
        self.shown = True
        self.nan = False
        self.length: int | None = None
        self.commands: list[JointCommand] = []
        self._states = self.create_publisher(JointState, "joint_states", qos.STATE)
        self._executed = self.create_publisher(JointCommand, "executed_command", qos.PAIRED)
        self._rewards = self.create_publisher(StampedReward, "reward", qos.PAIRED)
        self.gate = self.create_publisher(GateStatus, "command_gate/status", qos.LATCHED)
        self.create_subscription(JointCommand, "joint_command", self._on_command, qos.COMMAND)
        self.create_service(ResetPlant, "reset_plant", self._on_reset)
        self.offset_ns = self.wild_ns = 0
        self.create_timer(0.01, self._tick)

    def _stamp(self) -> Any:
        return convert.time_message(self.get_clock().now().nanoseconds + self.offset_ns)

    def _on_reset(self, _: ResetPlant.Request, response: ResetPlant.Response) -> ResetPlant.Response:
        response.success, response.stamp = True, self._stamp()
        return response

    def _on_command(self, command: JointCommand) -> None:
        self.commands.append(command)
        self.position |= dict(zip(command.joint_names, command.position, strict=True))
        self._executed.publish(command)

    def _tick(self) -> None:
        if not self.shown:
            return
        state = JointState(
            name=list(self.position), position=list(self.position.values()), velocity=[0.0] * 10
        )
        if self.nan:
            state.position[0] = float("nan")
        state.header.stamp = self._stamp()
        if self.wild_ns:
            wild_ns, self.wild_ns = convert.stamp_ns(state.header.stamp) + self.wild_ns, 0
            state.header.stamp = convert.time_message(wild_ns)
        if self.length is None:
            self._states.publish(state)
        else:
            self._states.publish(bytes(serialize_message(state))[: self.length])
        self._rewards.publish(StampedReward(header=state.header, reward=-1.0, error=1.0))


@pytest.fixture(scope="module")
def policy(module_graph: Graph, bundle: Path) -> Graph:
    parameters = {"bundle": str(bundle), "plant_timeout_s": 10.0}
    module_graph.processes.start(
        NodeSpec("policy_node", "pitaya_nodes", "policy_node", parameters=parameters)
    )
    assert module_graph.probe.change("policy_node", 1)
    assert module_graph.probe.change("policy_node", 3)
    return module_graph


@pytest.fixture
def robot(policy: Graph) -> Iterator[Robot]:
    made = Robot(policy)
    policy.probe.add(made)
    policy.probe.until(lambda: made.count_subscribers("joint_states") >= 2)
    policy.probe.until(lambda: made.count_subscribers("command_gate/status") >= 2)
    yield made
    policy.probe.call(Trigger, "policy_node/clear", Trigger.Request())
    policy.probe.remove(made)


def begin(policy: Graph, robot: Robot) -> Any:
    """A goal that runs, with some steps taken."""
    handle = policy.probe.send(steps_per_episode=STEPS)
    assert handle.accepted
    policy.probe.until(lambda: len(robot.commands) >= 5)
    return handle


def wait_for(policy: Graph, mode: int, reason: str = "") -> PolicyStatus:
    heard = policy.probe.heard["policy_node/status"]
    policy.probe.until(
        lambda: heard and heard[-1].mode == mode and reason in heard[-1].reason, patience_s=20.0
    )
    return heard[-1]


def end(policy: Graph, handle: Any) -> Any:
    handle.cancel_goal_async()
    return policy.probe.result(handle)


def test_when_states_stay_away_the_measured_position_is_held_and_the_episode_goes_on_after_them(
    policy: Graph, robot: Robot
) -> None:
    handle = begin(policy, robot)
    robot.shown = False
    wait_for(policy, PolicyStatus.HOLD, "the newest sound joint state is older than 50 ms")
    policy.probe.spin(0.2)
    last = robot.commands[-1]
    assert list(last.position) == pytest.approx([robot.position[name] for name in last.joint_names])
    sent = len(robot.commands)
    policy.probe.spin(0.3)
    assert len(robot.commands) == sent
    robot.shown = True
    wait_for(policy, PolicyStatus.ACTIVE)
    policy.probe.until(lambda: len(robot.commands) > sent + 3)
    outcome = end(policy, handle)
    assert outcome.result.rejected >= 1  # the step that was held
    assert outcome.result.accepted >= 3


def test_a_second_without_states_ends_the_goal_and_a_person_must_clear_the_fault(
    policy: Graph, robot: Robot
) -> None:
    handle = begin(policy, robot)
    robot.shown = False
    outcome = policy.probe.result(handle)
    assert outcome.status == GoalStatus.STATUS_ABORTED
    assert "no sound joint state for more than 1 s" in outcome.result.message
    wait_for(policy, PolicyStatus.FAULT)
    robot.shown = True
    assert not policy.probe.send(steps_per_episode=STEPS).accepted
    assert wait_for(policy, PolicyStatus.FAULT).reason.startswith("no sound joint state")
    assert policy.probe.call(Trigger, "policy_node/clear", Trigger.Request()).success
    end(policy, begin(policy, robot))


@pytest.mark.parametrize("length", [None, 4, 200])
def test_three_states_that_are_not_finite_or_cut_off_hold(
    policy: Graph, robot: Robot, length: int | None
) -> None:
    handle = begin(policy, robot)
    robot.nan, robot.length = length is None, length
    wait_for(policy, PolicyStatus.HOLD)
    robot.nan, robot.length = False, None
    wait_for(policy, PolicyStatus.ACTIVE)
    assert all(abs(number) < 10.0 for item in robot.commands for number in item.position)
    end(policy, handle)


def test_a_gate_in_fault_ends_the_goal_with_its_reason_and_lets_none_begin(
    policy: Graph, robot: Robot
) -> None:
    handle = begin(policy, robot)
    robot.gate.publish(GateStatus(mode=GateStatus.STOPPED, reason="emergency stop"))
    outcome = policy.probe.result(handle)
    assert outcome.status == GoalStatus.STATUS_ABORTED
    assert "the command gate lets nothing pass: emergency stop" in outcome.result.message
    assert not policy.probe.send(steps_per_episode=STEPS).accepted
    robot.gate.publish(GateStatus(mode=GateStatus.READY, reason="cleared"))
    policy.probe.spin(0.5)
    end(policy, begin(policy, robot))


@pytest.mark.parametrize("ahead_s", [3600.0, -3600.0])
def test_one_wild_stamp_is_refused_and_the_episode_goes_on(
    policy: Graph, robot: Robot, ahead_s: float
) -> None:
    handle = begin(policy, robot)
    sent = len(robot.commands)
    robot.wild_ns = round(ahead_s * 1e9)
    policy.probe.until(lambda: robot.wild_ns == 0)
    policy.probe.until(lambda: len(robot.commands) > sent + 5)
    outcome = end(policy, handle)
    assert outcome.status == GoalStatus.STATUS_CANCELED
    assert outcome.result.accepted >= 3
    policy.probe.until(
        lambda: policy.probe.diagnosed("/policy_node: joint_states", "refused: BadReadingError")
    )


def test_a_clock_that_is_set_forward_costs_the_running_step_and_no_more(policy: Graph, robot: Robot) -> None:
    handle = begin(policy, robot)
    sent = len(robot.commands)
    robot.offset_ns = 3600 * 10**9
    policy.probe.until(lambda: len(robot.commands) > sent + 10)
    outcome = end(policy, handle)
    assert outcome.status == GoalStatus.STATUS_CANCELED
    assert outcome.result.accepted >= 4
    stamps = [convert.stamp_ns(item.header.stamp) for item in robot.commands]
    assert stamps[-1] - stamps[0] > 3600 * 10**9


def test_a_clock_that_goes_back_ends_the_goal(policy: Graph, robot: Robot) -> None:
    handle = begin(policy, robot)
    robot.offset_ns = -3600 * 10**9
    outcome = policy.probe.result(handle)
    assert outcome.status == GoalStatus.STATUS_ABORTED
    assert "the stamps of joint_states went back by 3600" in outcome.result.message
    assert outcome.result.belief.transitions == outcome.result.accepted
