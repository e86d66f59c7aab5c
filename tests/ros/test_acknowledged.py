# SPDX-License-Identifier: Apache-2.0
"""A robot that tells which commands it carries out: one that gets lost is a fault at once, one that was told is not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from pitaya_msgs.msg import GateStatus, JointCommand
from rclpy.node import Node

from pitaya_nodes import qos
from tests.ros.external_plant import FINGERS
from tests.ros.graph import Graph
from tests.ros.test_gate_modes import Robot, beside, call, run, start_gate, wait_for

PERIOD_S = 0.1


class TellingRobot(Robot):
    """Tells which commands it carries out, unless they get lost; a limp one tells and does not move."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.limp = False
        self.lost: list[JointCommand] = []
        self.lost_at_s = math.inf
        self._applied = self.create_publisher(JointCommand, "applied_command", qos.PAIRED)

    def _on_command(self, command: JointCommand) -> None:
        if self.deaf:
            self.lost.append(command)
            self.lost_at_s = min(self.lost_at_s, self._now_s())
            return
        self.sent.append(command)
        if not self.limp:
            self.position |= dict(zip(command.joint_names, command.position, strict=True))
        self._applied.publish(command)

    def _now_s(self) -> float:
        return 1e-9 * self.get_clock().now().nanoseconds


@pytest.fixture(scope="module")
def gate(module_graph: Graph, bundle: Path) -> Graph:
    return start_gate(module_graph, bundle, acknowledged=True)


@pytest.fixture
def robot(gate: Graph) -> Iterator[TellingRobot]:
    with beside(gate, TellingRobot(gate)) as made:
        gate.probe.until(lambda: made.count_subscribers("applied_command") >= 1)
        yield made


def test_commands_that_get_lost_are_a_fault_although_the_robot_goes_on_moving(
    gate: Graph, robot: TellingRobot
) -> None:
    run(gate, robot)
    gate.probe.spin(0.5)
    robot.deaf = True
    # By its motion it would follow: it drifts to where it is wanted.
    robot.create_timer(0.01, lambda: robot.position.update({n: robot.position[n] + 0.004 for n in FINGERS}))
    fault = wait_for(gate, GateStatus.FAULT, "it has not told that it carries out the command")
    told_s = fault.header.stamp.sec + 1e-9 * fault.header.stamp.nanosec
    # Two periods of patience, and the gate looks every 20 ms; the rest is slack for a busy machine.
    assert 1.9 * PERIOD_S <= told_s - robot.lost_at_s <= 5.0 * PERIOD_S
    assert len(robot.lost) <= 5  # at most four commands and the hold


def test_what_is_cleared_goes_on_once_the_robot_tells_again(gate: Graph, robot: TellingRobot) -> None:
    run(gate, robot)
    robot.deaf = True
    wait_for(gate, GateStatus.FAULT, "it has not told")
    robot.deaf = False
    passed = len(robot.sent)
    assert call(gate, "command_gate/clear").success
    gate.probe.until(lambda: len(robot.sent) > passed + 5)
    wait_for(gate, GateStatus.ACTIVE)


def test_a_robot_that_tells_and_does_not_move_is_a_fault_all_the_same(
    gate: Graph, robot: TellingRobot
) -> None:
    run(gate, robot)
    robot.limp = True
    wait_for(gate, GateStatus.FAULT, "5 commands in a row led nowhere")


def test_a_hold_need_not_be_told(gate: Graph, robot: TellingRobot) -> None:
    run(gate, robot)
    robot.wanted = None  # the policy falls silent: the gate holds
    wait_for(gate, GateStatus.HOLD)
    robot.deaf = True  # as a robot that is on its way to a new start
    heard = gate.probe.heard["command_gate/status"]
    before = len(heard)
    gate.probe.spin(1.0)
    assert all(status.mode == GateStatus.HOLD for status in heard[before:])


def test_a_second_robot_that_tells_is_a_fault_that_names_it(gate: Graph, robot: TellingRobot) -> None:
    run(gate, robot)
    second = Node("impostor", context=gate.probe.ros)
    second.create_publisher(JointCommand, "applied_command", qos.PAIRED)
    wait_for(gate, GateStatus.FAULT, "/impostor and /robot all publish on /applied_command")
    second.destroy_node()
    gate.probe.until(lambda: robot.count_publishers("applied_command") == 1)
