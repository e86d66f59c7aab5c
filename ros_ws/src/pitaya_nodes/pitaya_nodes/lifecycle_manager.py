# SPDX-License-Identifier: Apache-2.0
"""Configures and activates managed nodes in order, says why one refuses, and ends; 0 if all are active."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Log
from rclpy.exceptions import InvalidParameterValueException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.logging import LoggingSeverity
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile

from pitaya_nodes.errors import BringUpError, SecurityError
from pitaya_nodes.managed_node import shut_down
from pitaya_nodes.parameters import Setting, declare_settings
from pitaya_nodes.patient_call import RESEND_S, call_until_answered
from pitaya_nodes.security import check_security

SETTINGS = (
    Setting("nodes", Parameter.Type.STRING_ARRAY, "Names of the managed nodes, in the order of activation."),
    Setting(
        "timeout_s",
        30.0,
        "How long each node may take to appear and for each transition [s].",
        low=0.1,
        high=600.0,
    ),
)
REASON_WAIT_S = 1.0
ANSWER_S = 5.0
"""How long a transition is waited for before the node is asked how far it is [s]."""


class LifecycleManager(Node):
    """Walks nodes through configure and activate."""

    def __init__(self) -> None:
        """Declares parameters and listens to what nodes log: a refused transition carries no reason."""
        super().__init__("lifecycle_manager")
        declare_settings(self, SETTINGS)
        self._timeout_s = float(self.get_parameter("timeout_s").value)
        self._reasons: dict[str, str] = {}
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        log_qos = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(Log, "/rosout", self._on_log, log_qos)

    def bring_up(self) -> None:
        """Configures all nodes, then activates them.

        Raises:
            BringUpError: If a node does not appear, does not answer, or refuses; with the reason.
        """
        names = self.get_parameter_or("nodes").value
        if not names:
            raise BringUpError("parameter nodes is empty: name the managed nodes to bring up")
        for name in names:
            self._change(name, Transition.TRANSITION_CONFIGURE, "configure", State.PRIMARY_STATE_INACTIVE)
        for name in names:
            self._change(name, Transition.TRANSITION_ACTIVATE, "activate", State.PRIMARY_STATE_ACTIVE)
        self.get_logger().info(f"active: {', '.join(names)}")

    def _change(self, name: str, transition: int, word: str, goal: int) -> None:
        """Asks for a transition unless the node has made it; a lost answer is made up for by asking for the state."""
        end_s = time.monotonic() + self._timeout_s
        request = ChangeState.Request(transition=Transition(id=transition))
        while self._state(name) != goal:
            if time.monotonic() > end_s:
                raise BringUpError(f"{name} did not {word} within {self._timeout_s:g} s")
            answer = self._call(ChangeState, f"{name}/change_state", request, ANSWER_S)
            if answer is not None and not answer.success:
                raise BringUpError(f"{name} refused to {word}: {self._reason(name)}")

    def _state(self, name: str) -> int:
        service = f"{name}/get_state"
        answer = self._call(GetState, service, GetState.Request(), self._timeout_s)
        if answer is None:
            raise BringUpError(
                f"service {self.resolve_service_name(service)} did not answer within {self._timeout_s:g} s: "
                "did the node start, in this namespace and ROS domain?"
            )
        return int(answer.current_state.id)

    def _call(self, kind: Any, service: str, request: Any, timeout_s: float) -> Any:
        client = self.create_client(kind, service)
        resend_s = RESEND_S if kind is GetState else timeout_s
        try:
            return call_until_answered(
                client, request, lambda: self._executor.spin_once(timeout_sec=0.02), timeout_s, resend_s
            )
        finally:
            self.destroy_client(client)

    def _reason(self, name: str) -> str:
        end_s = time.monotonic() + REASON_WAIT_S
        logger = self.resolve_service_name(name).lstrip("/").replace("/", ".")
        while logger not in self._reasons and time.monotonic() < end_s:
            self._executor.spin_once(timeout_sec=0.05)
        return self._reasons.get(logger, "it gave no reason; see its log")

    def _on_log(self, message: Log) -> None:
        if message.level >= LoggingSeverity.ERROR:
            self._reasons[message.name] = message.msg


def main() -> int:
    """Entry point."""
    manager: LifecycleManager | None = None
    try:
        check_security(os.environ)
        rclpy.init()
        manager = LifecycleManager()
        manager.bring_up()
    except BringUpError as error:
        rclpy.logging.get_logger("lifecycle_manager").fatal(str(error))
        return 1
    except (InvalidParameterValueException, SecurityError) as error:
        rclpy.logging.get_logger("lifecycle_manager").fatal(str(error))
        return 2
    except (KeyboardInterrupt, ExternalShutdownException):
        return 130
    finally:
        if manager is not None:
            with contextlib.suppress(KeyboardInterrupt):
                manager.destroy_node()
        shut_down()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
