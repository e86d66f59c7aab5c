# SPDX-License-Identifier: Apache-2.0
"""Real nodes in real processes for tests, in a ROS domain of their own, and a probe that hears everything."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from pitaya_msgs.action import Adapt
from pitaya_msgs.msg import (
    GateStatus,
    JointCommand,
    PolicyStatus,
    StampedReward,
    Task,
    TaskBelief,
    TransitionRefusal,
)
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from pitaya_nodes import qos
from pitaya_nodes.bringup import find_bringup
from pitaya_nodes.patient_call import call_until_answered
from pitaya_nodes.processes import Child, ProcessGroup

REPOSITORY = Path(__file__).resolve().parent.parent.parent
BRING_UP = REPOSITORY / "config" / "bringup" / "dclaw_sim.yaml"
PATIENCE_S = 60.0
"""How long a test waits for what must happen; generous, since machines are slow and busy."""

# Of every status, also those that another one follows at once: a queue of one would forget them.
HEARD = {
    "joint_states": (JointState, qos.EVERY_STATE),
    "joint_command": (JointCommand, qos.PAIRED),
    "executed_command": (JointCommand, qos.PAIRED),
    "forward_position_controller/commands": (Float64MultiArray, qos.PAIRED),
    "reward": (StampedReward, qos.PAIRED),
    "task": (Task, qos.LATCHED),
    "policy_node/belief": (TaskBelief, qos.BELIEF),
    "policy_node/status": (PolicyStatus, qos.BELIEF),
    "policy_node/refusals": (TransitionRefusal, qos.PAIRED),
    "command_gate/status": (GateStatus, qos.BELIEF),
    "/diagnostics": (DiagnosticArray, qos.REPORT),
}


class Probe(Node):
    """Hears topics, calls services and sends goals.

    Attributes:
        heard: Messages by topic, in order of arrival.
    """

    def __init__(self, domain: int, heard: Mapping[str, Any] = HEARD) -> None:
        """Listens in a domain."""
        self.ros = Context()
        self.ros.init(domain_id=domain)
        super().__init__("probe", context=self.ros)
        self.heard: dict[str, list[Any]] = defaultdict(list)
        for topic, (kind, profile) in heard.items():
            self.create_subscription(kind, topic, self.heard[topic].append, profile)
        self._spinner = SingleThreadedExecutor(context=self.ros)
        self._spinner.add_node(self)
        self._adapt: ActionClient | None = None

    def add(self, node: Node) -> None:
        """Runs a further node, made in the same context, along with this one."""
        self._spinner.add_node(node)

    def remove(self, node: Node) -> None:
        """Ends such a node."""
        self._spinner.remove_node(node)
        node.destroy_node()

    def close(self) -> None:
        """Leaves the domain."""
        self.destroy_node()
        self.ros.try_shutdown()

    def spin(self, duration_s: float) -> None:
        """Handles what comes for a while."""
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            self._spinner.spin_once(timeout_sec=0.01)

    def until(self, condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
        """Handles what comes until the condition holds, and gives its value."""
        end_s = time.monotonic() + patience_s
        while not (value := condition()):
            if time.monotonic() > end_s:
                raise TimeoutError(f"not within {patience_s:g} s: {condition}")
            self._spinner.spin_once(timeout_sec=0.01)
        return value

    def reasons(self, node: str = "policy_node", since: int = 0) -> list[str]:
        """Every reason that a node's status has given; `since` leaves out as many messages."""
        return [str(status.reason) for status in self.heard[f"{node}/status"][since:]]

    def reason(self, text: str, node: str = "policy_node", since: int = 0) -> str:
        """Waits for a reason with this text, however soon another followed it, and gives the whole of it."""
        return str(
            self.until(lambda: next((item for item in self.reasons(node, since) if text in item), None))
        )

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """Calls a service; again if no answer comes, so the request must do no harm twice."""
        client = self.create_client(kind, name)
        try:
            answer = call_until_answered(client, request, lambda: self.spin(0.01), PATIENCE_S, 5.0)
        finally:
            self.destroy_client(client)
        if answer is None:
            raise TimeoutError(f"{name} did not answer within {PATIENCE_S:g} s")
        return answer

    def meet(self, node: str) -> int:
        """Waits until a managed node knows everything this one has made so far; gives the node's state."""
        return int(self.call(GetState, f"{node}/get_state", GetState.Request()).current_state.id)

    def send(self, feedback: list[Any] | None = None, **fields: Any) -> Any:
        """Sends an Adapt goal and gives its handle."""
        if self._adapt is None:
            self._adapt = ActionClient(self, Adapt, "policy_node/adapt")
            self.meet("policy_node")
        self.until(self._adapt.server_is_ready)
        take = None if feedback is None else lambda message: feedback.append(message.feedback)
        future = self._adapt.send_goal_async(goal(**fields), take)
        self.until(future.done)
        return future.result()

    def result(self, handle: Any) -> Any:
        """Status and result of a goal, once it has ended."""
        future = handle.get_result_async()
        self.until(future.done)
        return future.result()

    def change(self, node: str, transition: int) -> bool:
        """Asks a managed node for a transition."""
        client = self.create_client(ChangeState, f"{node}/change_state")
        self.until(client.service_is_ready)
        self.meet(node)
        future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        self.until(future.done)
        self.destroy_client(client)
        return bool(future.result().success)

    def diagnosed(self, name: str, key: str) -> str | None:
        """The latest value of a key on /diagnostics, in the status with that name."""
        for array in reversed(self.heard["/diagnostics"]):
            for status in array.status:
                if status.name == name:
                    return next((item.value for item in status.values if item.key == key), None)
        return None


class Graph:
    """The processes of the bring-up file, or some of them.

    Attributes:
        probe: Hears everything.
        folder: Logs, and the recording if there is one.
    """

    def __init__(self, domain: int, folder: Path) -> None:
        """Prepares, starting nothing."""
        self.folder = folder
        self.processes = ProcessGroup({"ROS_DOMAIN_ID": str(domain), "ROS_LOG_DIR": str(folder)}, folder)
        self.probe = Probe(domain)

    def start(
        self,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        bring_up: Path = BRING_UP,
        **arguments: str,
    ) -> Child:
        """Starts everything; gives the lifecycle manager.

        Args:
            settings: Further parameters by node name.
            bring_up: Which bring-up file.
            arguments: Arguments of the bring-up file.
        """
        manager = None
        arguments.setdefault("journal", str(self.folder / "journal"))
        for spec in find_bringup(str(bring_up)).resolve(arguments):
            more = (settings or {}).get(spec.name, {})
            manager = self.processes.start(replace(spec, parameters={**spec.parameters, **more}))
        assert manager is not None
        return manager

    def up(
        self,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        bring_up: Path = BRING_UP,
        **arguments: str,
    ) -> Graph:
        """Starts everything and waits until the managed nodes are active."""
        manager = self.start(settings, bring_up, **arguments)
        self.probe.until(lambda: manager.process.poll() is not None)
        assert manager.process.returncode == 0, manager.log_tail(20)
        return self

    def child(self, name: str) -> Child:
        """The running process of a node."""
        return next(item for item in self.processes.children if item.spec.name == name)

    def close(self) -> None:
        """Ends everything."""
        self.processes.stop()
        self.probe.close()


def goal(**fields: Any) -> Adapt.Goal:
    """A goal of one exploring episode, unless fields say otherwise."""
    return Adapt.Goal(
        **{
            "episodes": 1,
            "reset_belief": True,
            "exploration_episodes": 1,
            "sampling": "sample",
            "seed": 3,
            **fields,
        }
    )
