# SPDX-License-Identifier: Apache-2.0
"""The D'Claw's driver as a ROS node on an emulated bus: real processes, real DDS, real bytes on a pseudo-terminal."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("dynamixel_sdk")

from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import Transition
from pitaya_msgs.msg import JointCommand
from pitaya_msgs.srv import ResetPlant
from std_srvs.srv import Trigger

from meta_rl_core.dynamixel.bus import MotorBus
from meta_rl_core.dynamixel.port import SteadyPort
from meta_rl_core.runtime.robot_file import load_robot
from pitaya_nodes import qos
from pitaya_nodes.bringup import NodeSpec, find_bringup
from pitaya_nodes.processes import Child, ProcessGroup
from sim_bridge.seeding import episode_seed, start_generator
from tests.ros.graph import REPOSITORY, Graph

UP = REPOSITORY / "config" / "bringup" / "dclaw_robot.yaml"
IDS = (10, 11, 12, 20, 21, 22, 30, 31, 32, 50)
EMULATE = "from meta_rl_core.cli.main import run; run()"


class Hand:
    """An emulated hand in a process of its own."""

    def __init__(self, folder: Path, robot: Path) -> None:
        self.link = folder / "hand"
        self.processes = ProcessGroup(folder=folder)
        command = [sys.executable, "-u", "-c", EMULATE, "emulate", str(robot), "--link", str(self.link)]
        self.child = self.processes.start_command("emulator", command)
        end_s = time.monotonic() + 60.0
        while not self.link.exists():
            assert time.monotonic() < end_s, self.child.log_tail(10)
            time.sleep(0.05)

    def close(self) -> None:
        self.processes.stop()


@pytest.fixture
def hand(tmp_path: Path, patient_robot: Path) -> Iterator[Hand]:
    made = Hand(tmp_path, patient_robot)
    yield made
    made.close()


def driver(graph: Graph, **parameters: Any) -> Child:
    """The node alone."""
    return graph.processes.start(
        NodeSpec("dynamixel_node", "pitaya_nodes", "dynamixel_node", parameters=parameters)
    )


def test_a_policy_adapts_through_serial_bytes_and_nothing_has_torque_afterwards(
    graph: Graph, bundle: Path, hand: Hand, patient_robot: Path
) -> None:
    patience = {
        "command_gate": {"command_timeout_s": 0.5, "oldest_state_s": 0.5, "stall_rad": 0.0},
        "policy_node": {"state_timeout_s": 0.095},
    }
    graph.up(patience, bring_up=UP, bundle=str(bundle), port=str(hand.link), robot=str(patient_robot))
    outcome = graph.probe.result(graph.probe.send(episodes=2, steps_per_episode=12))
    assert outcome.status == GoalStatus.STATUS_SUCCEEDED, outcome.result.message
    # The gate starts softly: for 0.5 s, five or six steps of each episode, commands do not reach as far as chosen.
    assert outcome.result.accepted + outcome.result.rejected == 24
    assert outcome.result.accepted >= 8
    states = graph.probe.heard["joint_states"]
    stamps = [state.header.stamp.sec * 10**9 + state.header.stamp.nanosec for state in states]
    assert all(later > earlier for earlier, later in pairwise(stamps))
    assert set(states[-1].name) == set(load_robot(patient_robot).measured_names)
    assert len(states[-1].position) == len(states[-1].velocity) == len(states[-1].effort) == 10
    graph.processes.stop()
    bus = MotorBus(SteadyPort(str(hand.link), 1_000_000))
    bus.open()
    motors = load_robot(patient_robot).motors().values()
    assert {motor.id: bus.read(motor.id, "torque_enable") for motor in motors} == dict.fromkeys(IDS, 0)
    bus.close()


def test_wrong_commands_are_refused_and_a_reset_answers(
    graph: Graph, hand: Hand, patient_robot: Path
) -> None:
    driver(graph, port=str(hand.link), robot=str(patient_robot))
    probe = graph.probe
    assert probe.change("dynamixel_node", Transition.TRANSITION_CONFIGURE)
    assert probe.change("dynamixel_node", Transition.TRANSITION_ACTIVATE)
    before = len(probe.heard["joint_states"])
    answer = probe.call(ResetPlant, "reset_plant", ResetPlant.Request(seed=3, episode=0))
    assert answer.success, answer.message
    # The routine takes a second at least, and the node tells 50 states a second meanwhile.
    assert len(probe.heard["joint_states"]) - before >= 10
    # Where a simulated valve would start; without torque it stays.
    start_rad = start_generator(episode_seed(3, 0)).uniform(-math.pi / 3.0, math.pi / 3.0)
    assert probe.heard["joint_states"][-1].position[-1] == pytest.approx(start_rad, abs=0.1)
    outlet = probe.create_publisher(JointCommand, "executed_command", qos.PAIRED)
    applied: list[JointCommand] = []
    probe.create_subscription(JointCommand, "applied_command", applied.append, qos.PAIRED)
    probe.until(lambda: outlet.get_subscription_count() and probe.count_publishers("applied_command"))

    def refused(kind: str, names: list[str], values: list[float]) -> bool:
        outlet.publish(JointCommand(joint_names=names, position=values))
        return probe.diagnosed("/dynamixel_node: executed_command", f"refused: {kind}") is not None

    names = list(load_robot(patient_robot).joint_names)
    probe.until(lambda: refused("JointMismatchError", names[:8], [0.0] * 8))
    probe.until(lambda: refused("BadReadingError", names, [float("nan")] * 9))
    assert not applied
    # In whatever order the joints are named, and cut to 5 degrees within their range.
    sent = JointCommand(joint_names=names[::-1], position=[9.0] + [0.1] * 8)
    sent.header.stamp.sec = 77
    outlet.publish(sent)
    told = probe.until(lambda: applied)[0]
    assert told.header.stamp.sec == 77
    assert list(told.joint_names) == names
    assert list(told.position[:8]) == pytest.approx([0.1] * 8)
    assert told.position[8] == pytest.approx(load_robot(patient_robot).command_high_rad[8])
    rebooted = probe.call(Trigger, "dynamixel_node/reboot_motors", Trigger.Request())
    assert "restarted: none had an error; torque is off" in rebooted.message


def test_a_missing_port_is_said_and_bring_up_ends_with_a_failure(graph: Graph, bundle: Path) -> None:
    manager = graph.start(bring_up=UP, bundle=str(bundle), port="/dev/ttyNone")
    graph.probe.until(lambda: manager.process.poll() is not None)
    assert manager.process.returncode == 1
    said = "dynamixel_node refused to configure: configure refused: serial port /dev/ttyNone is missing; plug"
    assert said in manager.log_tail(5)


def test_the_robot_comes_up_in_order_with_the_driver_first() -> None:
    specs = find_bringup(str(UP)).resolve({"port": "/dev/ttyUSB7", "target_rad": "0.5", "bundle": "/b"})
    assert [spec.name for spec in specs] == [
        "dynamixel_node",
        "reward_node",
        "command_gate",
        "policy_node",
        "lifecycle_manager",
    ]
    assert specs[0].parameters["port"] == "/dev/ttyUSB7"
    assert specs[0].parameters["robot"] == str(REPOSITORY / "config" / "robots" / "dclaw.yaml")
    assert specs[1].parameters["task_values"] == [0.5]


def test_a_description_that_contradicts_the_bundle_is_refused(
    graph: Graph, bundle: Path, patient_robot: Path
) -> None:
    content = yaml.safe_load(patient_robot.read_text())
    content["rates"]["state_hz"] = 3.0
    path = graph.folder / "slow.yaml"
    path.write_text(yaml.safe_dump(content))
    node = driver(graph, bundle=str(bundle), robot=str(path))
    assert not graph.probe.change("dynamixel_node", Transition.TRANSITION_CONFIGURE)
    assert "robot dclaw and the bundle contradict each other: the policy acts every 0.1 s" in node.log_tail(5)
