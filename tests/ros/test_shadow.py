# SPDX-License-Identifier: Apache-2.0
"""Beside a live robot the whole pipeline runs, and nothing arrives where the robot listens."""

import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pitaya_msgs.action import Adapt
from pitaya_msgs.msg import JointCommand, StampedReward, Task
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from meta_rl_core.families.dclaw_turn import CLAW_JOINTS, VALVE_JOINT
from pitaya_nodes import qos
from pitaya_nodes.bringup import find_bringup
from pitaya_nodes.processes import ProcessGroup
from tests.ros.graph import REPOSITORY, Probe, goal

JOINTS = (*CLAW_JOINTS, VALVE_JOINT)
HEARD = {
    topic: (kind, qos.PAIRED)
    for prefix in ("", "shadow/")
    for topic, kind in {
        f"{prefix}joint_command": JointCommand,
        f"{prefix}executed_command": JointCommand,
        f"{prefix}forward_position_controller/commands": Float64MultiArray,
        f"{prefix}reward": StampedReward,
    }.items()
}


@pytest.fixture
def live_robot(ros_domain_id: int) -> Iterator[Node]:
    """A robot that somebody moves: joint states at 20 Hz and a task."""
    context, stop = Context(), threading.Event()
    context.init(domain_id=ros_domain_id)
    node = Node("live_robot", context=context)
    outlet = node.create_publisher(JointState, "joint_states", 10)
    tasks = node.create_publisher(Task, "task", qos.LATCHED)
    tasks.publish(Task(family="dclaw-turn", names=["target_rad"], values=[0.5], seed=-1))

    def move() -> None:
        begin_s = time.monotonic()
        while not stop.wait(0.05):
            angle = 0.1 * math.sin(time.monotonic() - begin_s)
            state = JointState(name=list(JOINTS), position=[angle] * 10, velocity=[0.0] * 10)
            state.header.stamp = node.get_clock().now().to_msg()
            outlet.publish(state)

    thread = threading.Thread(target=move)
    thread.start()
    yield node
    stop.set()
    thread.join()
    node.destroy_node()
    context.try_shutdown()


def test_a_shadow_acts_and_judges_and_says_nothing_to_the_robot(
    live_robot: Node, ros_domain_id: int, bundle: Path, tmp_path: Path
) -> None:
    processes = ProcessGroup({"ROS_DOMAIN_ID": str(ros_domain_id), "ROS_LOG_DIR": str(tmp_path)}, tmp_path)
    probe = Probe(ros_domain_id, HEARD)
    try:
        bring_up = find_bringup(str(REPOSITORY / "config" / "bringup" / "shadow.yaml"))
        manager = [processes.start(spec) for spec in bring_up.resolve({"bundle": str(bundle)})][-1]
        probe.until(lambda: manager.process.poll() is not None)
        assert manager.process.returncode == 0, manager.log_tail(20)
        client = ActionClient(probe, Adapt, "shadow/policy_node/adapt")
        probe.until(client.server_is_ready)
        probe.meet("shadow/policy_node")
        sent = client.send_goal_async(goal(steps_per_episode=6))
        probe.until(sent.done)
        done = sent.result().get_result_async()
        probe.until(done.done)
        result = done.result().result
    finally:
        processes.stop()
        probe.close()
    # A loaded machine may be late for some steps; how many does not matter here.
    assert probe.heard["shadow/executed_command"], result.message
    assert probe.heard["shadow/reward"], result.message
    for topic in ("joint_command", "executed_command", "forward_position_controller/commands", "reward"):
        assert not probe.heard[topic], f"{topic} is the live robot's"
    # Nothing it chose was executed, so nothing of it became evidence.
    assert result.accepted == 0
