# SPDX-License-Identifier: Apache-2.0
"""The command gate as a process: what passes, what is refused by name, and when it holds."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lifecycle_msgs.msg import Transition
from pitaya_msgs.msg import JointCommand
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState

from meta_rl_core.bundle import load_bundle
from pitaya_nodes import qos
from pitaya_nodes.bringup import NodeSpec
from tests.ros.external_plant import FINGERS, VALVE
from tests.ros.graph import Graph, Probe

POSE = 0.1


class Driver:
    """Publishes joint states and commands as a plant and a policy would."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self._states = probe.create_publisher(JointState, "joint_states", qos.STATE)
        self._commands = probe.create_publisher(JointCommand, "joint_command", qos.COMMAND)
        self._second = 0
        self.left_ns: list[int] = []
        """When the gate sent each command that was heard here [ns, wall clock]."""
        self._ear = probe.create_subscription(JointCommand, "executed_command", self._hear, qos.PAIRED)

    def _hear(self, _: JointCommand, info: Any) -> None:
        self.left_ns.append(info["source_timestamp"])

    def state(self, position: float = POSE) -> JointState:
        """Publishes a state one second after the last one, and gives it."""
        message = self.unseen(position)
        self.show(message)
        return message

    def unseen(self, position: float = POSE) -> JointState:
        """The same, but not published yet."""
        self._second += 1
        message = JointState(name=[*FINGERS, VALVE], position=[position] * 10)
        message.header.stamp.sec = self._second
        return message

    def show(self, state: JointState) -> None:
        """Publishes a state."""
        self._states.publish(state)

    def command(self, state: JointState, **changed: Any) -> JointCommand:
        """Publishes a sound command for that state, changed as told."""
        message = JointCommand(
            header=state.header, joint_names=list(FINGERS), position=[POSE + 0.05] * 9, **{}
        )
        for name, value in changed.items():
            setattr(message, name, value)
        self._commands.publish(message)
        return message

    @property
    def executed(self) -> list[JointCommand]:
        return self.probe.heard["executed_command"]


@pytest.fixture(scope="module")
def gate(module_graph: Graph, bundle: Path) -> Graph:
    parameters = {"bundle": str(bundle), "soft_start_s": 0.0}
    module_graph.processes.start(
        NodeSpec("command_gate", "pitaya_nodes", "command_gate", parameters=parameters)
    )
    assert module_graph.probe.change("command_gate", Transition.TRANSITION_CONFIGURE)
    return module_graph


@pytest.fixture
def driver(gate: Graph) -> Iterator[Driver]:
    """A gate that was just activated, and somebody to talk to it."""
    probe = gate.probe
    made = Driver(probe)
    assert probe.change("command_gate", Transition.TRANSITION_ACTIVATE)
    probe.until(lambda: probe.count_subscribers("joint_states") >= 2)
    probe.until(lambda: probe.count_subscribers("joint_command") >= 2)
    # Until the gate hears both: a first pair passes.
    while not (made.executed and made.left_ns):
        made.command(made.state())
        probe.spin(0.1)
    probe.spin(0.3)
    yield made
    assert probe.change("command_gate", Transition.TRANSITION_DEACTIVATE)
    probe.destroy_publisher(made._states)
    probe.destroy_publisher(made._commands)
    probe.destroy_subscription(made._ear)
    for topic in ("executed_command", "forward_position_controller/commands"):
        probe.heard[topic].clear()


def test_a_sound_command_passes_stamped_and_in_bundle_order_whatever_its_order(
    driver: Driver, bundle: Path
) -> None:
    state = driver.state()
    positions = dict(zip(FINGERS, [POSE + 0.01 * i for i in range(9)], strict=True))
    names = list(reversed(FINGERS))
    before = len(driver.executed)
    driver.command(state, joint_names=names, position=[positions[name] for name in names])
    driver.probe.until(lambda: len(driver.executed) > before)
    passed = driver.executed[before]
    order = load_bundle(bundle).robot.action.joints
    assert passed.header.stamp == state.header.stamp
    assert tuple(passed.joint_names) == order
    assert list(passed.position) == [positions[name] for name in order]
    forwarded = driver.probe.heard["forward_position_controller/commands"]
    driver.probe.until(lambda: forwarded and list(forwarded[-1].data) == list(passed.position))


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"position": [math.nan] + [POSE] * 8}, "wrong names, lengths or numbers"),
        ({"position": [math.inf] * 9}, "wrong names, lengths or numbers"),
        ({"position": [POSE] * 8}, "wrong names, lengths or numbers"),
        ({"joint_names": [*FINGERS[:8], "nose"]}, "wrong names, lengths or numbers"),
        ({"joint_names": [*FINGERS[:8], FINGERS[0]]}, "wrong names, lengths or numbers"),
        ({"joint_names": [], "position": []}, "wrong names, lengths or numbers"),
        ({"position": [0.6] + [POSE] * 8}, "outside the joint limits"),
        ({"position": [POSE, POSE + 0.3, *[POSE] * 7]}, "too far from the measured position"),
    ],
)
def test_an_unsound_command_is_refused_counted_and_named(
    driver: Driver, changed: dict[str, Any], kind: str
) -> None:
    probe, key = driver.probe, f"refused: {kind}"
    counted = int(probe.diagnosed("/command_gate: joint_command", key) or 0)
    before = len(driver.executed)
    driver.command(driver.state(), **changed)
    probe.until(lambda: int(probe.diagnosed("/command_gate: joint_command", key) or 0) == counted + 1)
    # What may have come in that second is a hold: the measured position.
    assert all(list(item.position) == [POSE] * 9 for item in driver.executed[before:])


@pytest.mark.parametrize("length", [4, 12, 100])
def test_a_command_that_is_cut_off_is_refused_counted_and_named(driver: Driver, length: int) -> None:
    probe, name = driver.probe, "/command_gate: joint_command"
    key = "refused: wrong names, lengths or numbers"
    counted = int(probe.diagnosed(name, key) or 0)
    before = len(driver.executed)
    sound = JointCommand(
        header=driver.state().header, joint_names=list(FINGERS), position=[POSE + 0.05] * 9, **{}
    )
    driver._commands.publish(bytes(serialize_message(sound))[:length])
    probe.until(lambda: int(probe.diagnosed(name, key) or 0) == counted + 1)
    assert f"a joint command of {length} bytes cannot be read" in (
        probe.diagnosed(name, "last refusal") or ""
    )
    # What may have come in that second is a hold: the measured position.
    assert all(list(item.position) == [POSE] * 9 for item in driver.executed[before:])


def test_a_command_for_an_old_or_unknown_state_is_refused(driver: Driver) -> None:
    probe = driver.probe
    old = driver.state()
    driver.state()
    probe.spin(0.1)
    before = len(driver.executed)
    driver.command(old)
    probe.until(lambda: probe.diagnosed("/command_gate: joint_command", "refused: too old"))
    stranger = JointState(header=replace_stamp(old, nanosec=1))
    driver.command(stranger)
    key = "refused: answers a state that never came"
    probe.until(lambda: probe.diagnosed("/command_gate: joint_command", key))
    assert len(driver.executed) == before


def test_a_command_that_overtakes_its_state_passes_when_that_comes(driver: Driver) -> None:
    state = driver.unseen()
    driver.command(state)
    driver.probe.spin(0.05)
    assert driver.executed[-1].header.stamp != state.header.stamp
    driver.show(state)
    driver.probe.until(lambda: driver.executed[-1].header.stamp == state.header.stamp)
    assert list(driver.executed[-1].position) == [POSE + 0.05] * 9


def test_a_command_whose_state_comes_too_late_moves_nothing(driver: Driver) -> None:
    probe, key = driver.probe, "refused: its state is late"
    counted = int(probe.diagnosed("/command_gate: joint_command", key) or 0)
    before = len(driver.executed)
    state = driver.unseen()
    driver.command(state)
    probe.until(lambda: int(probe.diagnosed("/command_gate: joint_command", key) or 0) == counted + 1)
    driver.show(state)
    probe.spin(0.3)
    # What may have come meanwhile is a hold: the measured position.
    assert all(list(item.position) == [POSE] * 9 for item in driver.executed[before:])


def replace_stamp(state: JointState, nanosec: int) -> Any:
    header = type(state.header)()
    header.stamp.sec, header.stamp.nanosec = state.header.stamp.sec, nanosec
    return header


def test_when_commands_stop_the_measured_position_is_held_once_within_half_a_second(driver: Driver) -> None:
    probe = driver.probe
    before = len(driver.executed)
    driver.command(driver.state())
    probe.until(lambda: len(driver.executed) == before + 1)
    last = driver.state(position=POSE + 0.02)
    probe.until(lambda: len(driver.executed) == before + 2, patience_s=5.0)
    held = driver.executed[-1]
    assert held.header.stamp == last.header.stamp
    assert list(held.position) == [POSE + 0.02] * 9
    probe.spin(0.6)
    assert len(driver.executed) == before + 2
    # Promised are 0.25 s; on a machine that others use too, twice that, which is the ceiling of the promise.
    assert 0.15e9 < driver.left_ns[-1] - driver.left_ns[-2] <= 0.5e9


def test_an_idle_gate_sends_nothing(driver: Driver) -> None:
    before = len(driver.executed)
    for _ in range(3):
        driver.state()
        driver.probe.spin(0.2)
    assert len(driver.executed) == before


def test_the_timeout_cannot_be_set_beyond_its_ceiling(graph: Graph, bundle: Path) -> None:
    parameters = {"bundle": str(bundle), "command_timeout_s": 0.6}
    spec = NodeSpec("command_gate", "pitaya_nodes", "command_gate", parameters=parameters)
    child = graph.processes.start(replace(spec))
    graph.probe.until(lambda: child.process.poll() is not None)
    assert child.process.returncode == 2
    assert "out of range Min: 0.02, Max: 0.5" in child.log_tail()
