# SPDX-License-Identifier: Apache-2.0
"""Executed commands reach a ros2_control controller of the right joints, and no other one."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from builtin_interfaces.msg import Time
from lifecycle_msgs.msg import Transition
from pitaya_msgs.msg import JointCommand
from std_msgs.msg import Float64MultiArray

from meta_rl_core.families.dclaw_turn import CLAW_JOINTS
from pitaya_nodes import qos
from pitaya_nodes.bringup import NodeSpec
from tests.ros.controller_stand_in import Controller
from tests.ros.graph import Graph

NAME = "forward_position_controller"
POSITIONS = [round(0.01 * index, 2) for index in range(9)]
Make = Callable[..., Controller]


@pytest.fixture
def controller(graph: Graph) -> Iterator[Make]:
    """Makes stand-in controllers that live as long as the test."""
    made: list[Controller] = []

    def make(joints: Any = CLAW_JOINTS, **options: Any) -> Controller:
        made.append(Controller(graph.probe.ros, options.pop("name", NAME), joints, **options))
        graph.probe.add(made[-1])
        return made[-1]

    yield make
    for node in made:
        graph.probe.remove(node)


def start(graph: Graph, bundle: Path, **parameters: Any) -> Any:
    given = {"bundle": str(bundle), "patience_s": 10.0, **parameters}
    child = graph.processes.start(
        NodeSpec("controller_link", "pitaya_nodes", "controller_link", parameters=given)
    )
    graph.probe.meet("controller_link")
    return child


def up(graph: Graph, bundle: Path, **parameters: Any) -> None:
    child = start(graph, bundle, **parameters)
    assert graph.probe.change("controller_link", Transition.TRANSITION_CONFIGURE), child.log_tail(5)
    assert graph.probe.change("controller_link", Transition.TRANSITION_ACTIVATE), child.log_tail(5)


def command(graph: Graph, condition: Callable[[], Any]) -> None:
    """Sends one command, in another joint order, until the condition holds."""
    outlet = graph.probe.create_publisher(JointCommand, "executed_command", qos.PAIRED)
    graph.probe.until(outlet.get_subscription_count)
    message = JointCommand(joint_names=CLAW_JOINTS[::-1], position=POSITIONS[::-1])
    message.header.stamp = Time(sec=1)

    def sent() -> Any:
        outlet.publish(message)
        graph.probe.spin(0.05)
        return condition()

    graph.probe.until(sent)


def test_an_array_arrives_in_the_controllers_order_and_stops_when_it_goes_out_of_service(
    graph: Graph, bundle: Path, controller: Make
) -> None:
    forward = controller()
    up(graph, bundle)
    command(graph, lambda: forward.taken)
    assert forward.taken[0] == POSITIONS
    # A stranger's message of another length takes a controller out of service, as documented.
    stranger = graph.probe.create_publisher(Float64MultiArray, f"{NAME}/commands", 1)
    stranger.publish(Float64MultiArray(data=[float("nan")] * 9))
    graph.probe.spin(0.3)
    assert forward.state == "active", "non-finite values are dropped, no more"
    stranger.publish(Float64MultiArray(data=[0.0] * 3))
    graph.probe.until(lambda: forward.state == "inactive")
    log = graph.child("controller_link")
    graph.probe.until(lambda: f"controller {NAME} is inactive: no command passes" in log.log_tail(20))


def test_a_trajectory_has_one_point_a_period_ahead(graph: Graph, bundle: Path, controller: Make) -> None:
    arm = controller(CLAW_JOINTS[::-1], name="joint_trajectory_controller", trajectory=True)
    up(graph, bundle, controller="joint_trajectory_controller", output="trajectory")
    command(graph, lambda: arm.taken)
    assert arm.taken[0] == POSITIONS[::-1]
    (point,) = arm.trajectories[0].points
    assert (point.time_from_start.sec, point.time_from_start.nanosec) == (0, 100_000_000)
    assert (arm.trajectories[0].header.stamp.sec, arm.trajectories[0].header.stamp.nanosec) == (0, 0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (None, f"there is no controller {NAME}"),
        ({"state": "inactive"}, f"controller {NAME} is inactive, must be active"),
        ({"joints": CLAW_JOINTS[:8]}, f"controller {NAME} has 8 joints .*the bundle commands 9"),
        ({"joints": CLAW_JOINTS[::-1]}, "they must stand as in the bundle: ff_joint0, ff_joint1"),
        ({"trajectory": True}, f"controller {NAME} does not listen to /{NAME}/commands"),
    ],
    ids=["missing", "inactive", "another size", "another order", "another type"],
)
def test_a_controller_that_cannot_carry_out_commands_is_refused(
    graph: Graph, bundle: Path, controller: Make, options: dict[str, Any] | None, said: str
) -> None:
    if options is not None:
        controller(**options)
    child = start(graph, bundle, patience_s=2.0)
    assert not graph.probe.change("controller_link", Transition.TRANSITION_CONFIGURE)

    graph.probe.until(lambda: re.search(said, child.log_tail(20)))
