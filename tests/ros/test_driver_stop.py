# SPDX-License-Identifier: Apache-2.0
"""An emergency stop of a hand that moves by itself: real driver, real gate, real bytes on a pseudo-terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("dynamixel_sdk")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from pitaya_msgs.msg import GateStatus, JointCommand
from pitaya_msgs.srv import ResetPlant
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from meta_rl_core.dynamixel.bus import MotorBus
from meta_rl_core.dynamixel.port import SteadyPort
from meta_rl_core.dynamixel.settings import joint_angle
from meta_rl_core.runtime.robot_file import load_robot
from pitaya_nodes import qos
from pitaya_nodes.bringup import NodeSpec
from tests.ros.graph import Graph
from tests.ros.test_dynamixel import Hand, driver, hand

__all__ = ["hand"]
BY_TOPIC = "emergency stop on topic /emergency_stop; /command_gate/clear ends it"
ACTIVATE = Transition.TRANSITION_ACTIVATE
EPISODE = ResetPlant.Request(seed=3, episode=0)
STATE_S, SPEED_RAD_S = 0.02, 0.785
FARTHEST_CYCLES = 10
"""On a busy machine it takes that long until the word is there; the hand holds with the packet that follows it."""
SAG_RAD = 0.04


@pytest.fixture
def stoppable(graph: Graph, hand: Hand, patient_robot: Path) -> Iterator[Graph]:
    """A configured driver beside a gate that nobody has configured, for both hear the stop in every state."""
    driver(graph, port=str(hand.link), robot=str(patient_robot))
    graph.processes.start(NodeSpec("command_gate", "pitaya_nodes", "command_gate"))
    assert graph.probe.change("dynamixel_node", Transition.TRANSITION_CONFIGURE)
    graph.probe.meet("command_gate")
    yield graph


class Button:
    """A stop button, connected to gate and driver: each of them reads twice."""

    def __init__(self, graph: Graph) -> None:
        self._probe = graph.probe
        self._outlet = graph.probe.create_publisher(Bool, "emergency_stop", qos.COMMAND)
        self._probe.until(lambda: self._outlet.get_subscription_count() == 4)

    def press(self) -> None:
        self._outlet.publish(Bool(data=True))


def begin(graph: Graph, kind: Any, name: str, request: Any) -> Any:
    """Asks without waiting for the answer."""
    client = graph.probe.create_client(kind, name)
    graph.probe.until(client.service_is_ready)
    graph.probe.meet("dynamixel_node")
    return client.call_async(request)


def ask(graph: Graph, name: str) -> Any:
    return graph.probe.call(Trigger, name, Trigger.Request())


def positions(graph: Graph, since: int) -> np.ndarray:
    """What the joints did, shape (states, 10) [rad]."""
    return np.array([state.position for state in graph.probe.heard["joint_states"][since:]])


def gate_is(graph: Graph, mode: int) -> None:
    heard = graph.probe.heard["command_gate/status"]
    graph.probe.until(lambda: heard and heard[-1].mode == mode)


def test_a_stop_in_mid_reset_holds_the_hand_and_the_gates_clear_lets_it_be_reset(stoppable: Graph) -> None:
    probe, button = stoppable.probe, Button(stoppable)
    assert probe.change("dynamixel_node", ACTIVATE)
    states = probe.heard["joint_states"]
    probe.until(lambda: states)
    valve_rad = states[-1].position[-1]
    answer = begin(stoppable, ResetPlant, "reset_plant", EPISODE)
    probe.until(lambda: abs(states[-1].position[-1] - valve_rad) > 0.1)
    assert not answer.done()
    button.press()
    pressed_s, moving = time.monotonic(), len(states)
    probe.until(answer.done)
    assert time.monotonic() - pressed_s < 1.0
    assert not answer.result().success
    assert answer.result().message.startswith(BY_TOPIC)
    probe.spin(1.0)
    resting = len(states)
    probe.spin(1.0)
    moved = np.abs(positions(stoppable, resting) - states[moving].position)
    # Joint 1 of each finger and the valve had torque; what was limp stays limp.
    powered = [
        states[-1].name.index(joint) for joint in ("ff_joint1", "mf_joint1", "th_joint1", "valve_joint")
    ]
    assert moved[:, powered].max() < FARTHEST_CYCLES * STATE_S * SPEED_RAD_S + SAG_RAD
    assert np.ptp(positions(stoppable, resting)[:, powered], axis=0).max() < 0.01
    assert probe.call(ResetPlant, "reset_plant", EPISODE).message.startswith(BY_TOPIC)
    refused = ask(stoppable, "dynamixel_node/enable_torque")
    assert not refused.success
    assert BY_TOPIC in refused.message
    gate_is(stoppable, GateStatus.STOPPED)
    assert "command_gate/clear ends both stops" in ask(stoppable, "dynamixel_node/clear").message
    assert ask(stoppable, "command_gate/clear").success
    probe.spin(0.5)
    assert np.ptp(positions(stoppable, -20)[:, powered], axis=0).max() < 0.01
    again = probe.call(ResetPlant, "reset_plant", EPISODE)
    assert again.success, again.message


def test_a_stop_while_the_hand_goes_to_its_start_pose_ends_the_activation_and_says_why(
    stoppable: Graph, hand: Hand, patient_robot: Path
) -> None:
    probe, button = stoppable.probe, Button(stoppable)
    assert probe.change("dynamixel_node", ACTIVATE)
    lift(stoppable)
    assert probe.change("dynamixel_node", Transition.TRANSITION_DEACTIVATE)
    request = ChangeState.Request(transition=Transition(id=ACTIVATE))
    activated = begin(stoppable, ChangeState, "dynamixel_node/change_state", request)
    probe.spin(0.8)  # torque for nine motors, then 1.3 s and more for 60 degrees
    assert not activated.done()
    button.press()
    pressed_s = time.monotonic()
    probe.until(activated.done)
    assert time.monotonic() - pressed_s < 1.0
    assert not activated.result().success
    node = stoppable.child("dynamixel_node")
    assert f"activate refused: {BY_TOPIC}" in node.log_tail(20)
    probe.heard["/diagnostics"].clear()
    assert probe.until(lambda: probe.diagnosed("/dynamixel_node: motors", "mode")) == "hold"
    probe.spin(2.0)
    node.process.terminate()
    probe.until(lambda: node.process.poll() is not None)
    # Without the stop it would have reached -1.05 rad long ago; it had begun at 0.
    assert abs(finger_rad(hand, patient_robot) + 1.05) > 0.1

    driver(stoppable, port=str(hand.link), robot=str(patient_robot))
    assert probe.change("dynamixel_node", Transition.TRANSITION_CONFIGURE)
    gate_is(stoppable, GateStatus.STOPPED)
    assert not probe.change("dynamixel_node", ACTIVATE)
    assert "the command gate is stopped: emergency stop on topic" in stoppable.child(
        "dynamixel_node"
    ).log_tail(20)
    assert ask(stoppable, "command_gate/clear").success
    probe.spin(0.5)
    assert probe.change("dynamixel_node", ACTIVATE)


def lift(graph: Graph) -> None:
    """Brings joint 1 of the first finger from -60 degrees to 0."""
    probe, states = graph.probe, graph.probe.heard["joint_states"]
    outlet = probe.create_publisher(JointCommand, "executed_command", qos.PAIRED)
    probe.until(lambda: outlet.get_subscription_count() and states)
    names = [name for name in states[-1].name if name != "valve_joint"]
    command = JointCommand(joint_names=names, position=[0.0, 0.0, 1.0] * 3)
    index = states[-1].name.index("ff_joint1")

    def there() -> bool:
        outlet.publish(command)
        probe.spin(STATE_S)
        return states[-1].position[index] > -0.1

    probe.until(there)


def finger_rad(hand: Hand, robot: Path) -> float:
    """Where joint 1 of the first finger stands without torque [rad]."""
    motor = load_robot(robot).motors()["ff_joint1"]
    bus = MotorBus(SteadyPort(str(hand.link), 1_000_000))
    bus.open()
    try:
        return joint_angle(bus.read(motor.id, "present_position"), motor)
    finally:
        bus.close()
