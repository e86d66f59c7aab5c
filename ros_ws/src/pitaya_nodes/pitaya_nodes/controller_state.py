# SPDX-License-Identifier: Apache-2.0
"""What can be seen of a ros2_control controller with common messages alone: its joints, its state, who listens.

The joints are a parameter of the controller's node; its state stands in the diagnostics of controller_manager, once a
second. So nothing here needs the message packages of ros2_control.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import GetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from meta_rl_core.errors import PitayaError
from pitaya_nodes import qos

ACTIVITY = "Controllers Activity"
"""How controller_manager's diagnostics name the states of its controllers."""
_SUFFIXES = (".state", "")
_STEP_S = 0.05


class ControllerError(PitayaError):
    """A ros2_control controller that cannot be used."""


@dataclass
class ControllerState:
    """What was seen of one controller.

    Attributes:
        name: Its name.
        topic: Where it takes commands.
        joints: Its joints in its order, or None if no such node answered.
        state: What controller_manager says of it, such as `active`, or None if it said nothing.
        listens: Whether it subscribes to the topic.
    """

    name: str
    topic: str
    joints: tuple[str, ...] | None = None
    state: str | None = None
    listens: bool = False

    @property
    def settled(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self.joints is not None and self.state == "active" and self.listens

    def complaint(self, joints: Sequence[str], *, ordered: bool) -> str:
        """Why it cannot carry out commands for these joints, or an empty text."""
        load = f"ros2 control load_controller --set-state active {self.name}"
        if self.joints is None:
            return f"there is no controller {self.name}: its node answers no get_parameters; {load}"
        if self.state is None:
            return (
                f"controller {self.name} is there, but no controller_manager tells its state on /diagnostics; "
                "start controller_manager"
            )
        if self.state != "active":
            switch = f"ros2 control set_controller_state {self.name} active"
            return f"controller {self.name} is {self.state}, must be active; {switch}"
        if set(self.joints) != set(joints) or len(self.joints) != len(joints):
            return (
                f"controller {self.name} has {len(self.joints)} joints ({', '.join(self.joints) or 'none'}), "
                f"the bundle commands {len(joints)} ({', '.join(joints)}); list these in the controller's `joints`"
            )
        if ordered and tuple(self.joints) != tuple(joints):
            return (
                f"controller {self.name} has its joints in the order {', '.join(self.joints)}; an array has no names, "
                f"so they must stand as in the bundle: {', '.join(joints)}"
            )
        if not self.listens:
            return f"controller {self.name} does not listen to {self.topic}: is it of the right type for this output?"
        return ""


def inspect_controller(node: Node, name: str, topic: str, patience_s: float) -> ControllerState:
    """Looks at a controller until it is found in order or time is up.

    Args:
        node: Whose context and namespace are used; it is not spun.
        name: The controller's name.
        topic: Where it takes commands, relative to the node's namespace.
        patience_s: How long to look [s].
    """
    looker = Node(
        "controller_look", context=node.context, namespace=node.get_namespace(), use_global_arguments=False
    )
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(looker)
    seen = ControllerState(name, node.resolve_topic_name(topic))

    def on_diagnostics(message: DiagnosticArray) -> None:
        seen.state = state_in(message, name) or seen.state

    looker.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, qos.REPORT)
    client = looker.create_client(GetParameters, f"{name}/get_parameters")
    asked = None
    end_s = time.monotonic() + patience_s
    try:
        while not seen.settled and time.monotonic() < end_s:
            if asked is None and client.service_is_ready():
                asked = client.call_async(GetParameters.Request(names=["joints"]))
            executor.spin_once(timeout_sec=_STEP_S)
            if asked is not None and asked.done():
                seen.joints = tuple(asked.result().values[0].string_array_value)
            readers = looker.get_subscriptions_info_by_topic(seen.topic)
            seen.listens = any(reader.node_name == name for reader in readers)
    finally:
        executor.shutdown()
        looker.destroy_node()
    return seen


def state_in(message: DiagnosticArray, name: str) -> str | None:
    """What a diagnostics message says of a controller's state, or None if nothing."""
    for status in message.status:
        if status.name.endswith(ACTIVITY):
            values = {item.key: item.value for item in status.values}
            for suffix in _SUFFIXES:
                if f"{name}{suffix}" in values:
                    return str(values[f"{name}{suffix}"])
            # A controller_manager that does not know it: unloaded.
            return "not loaded"
    return None
