# SPDX-License-Identifier: Apache-2.0
"""Sends Adapt goals and follows them, so that Ctrl-C cancels the goal before the command ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from pitaya_msgs.action import Adapt
from pitaya_msgs.msg import PolicyStatus, Task
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

from pitaya_nodes import qos
from pitaya_nodes.errors import GoalCancelledError, GoalStoppedError, PlantError
from pitaya_nodes.interrupts import Interrupts
from pitaya_nodes.patient_call import call_until_answered

SPIN_S = 0.05
ANSWER_TIMEOUT_S = 10.0
CANCEL_TIMEOUT_S = 3.0
REASON_WAIT_S = 0.5
_STATUS = {GoalStatus.STATUS_ABORTED: "aborted", GoalStatus.STATUS_CANCELED: "cancelled"}


@contextmanager
def ros_context(domain: int | None = None) -> Iterator[Context]:
    """A context of its own, which leaves the process's signals alone.

    Args:
        domain: ROS domain; by default that of the environment.
    """
    context = Context()
    context.init(domain_id=domain)
    try:
        yield context
    finally:
        context.try_shutdown()


class AdaptClient(Node):
    """Talks to one policy node.

    Attributes:
        between_spins: Called while waiting; may raise to end the wait.
    """

    def __init__(
        self, context: Context, interrupts: Interrupts, policy: str = "policy_node", namespace: str = ""
    ) -> None:
        """Connects.

        Args:
            context: An initialised rclpy context.
            interrupts: Says when the user wants to stop.
            policy: Name of the policy node.
            namespace: Namespace of the graph.
        """
        super().__init__("adapt_client", context=context, namespace=namespace)
        self._interrupts = interrupts
        self.between_spins: Callable[[], None] = lambda: None
        self._action = ActionClient(self, Adapt, f"{policy}/adapt")
        self._status: PolicyStatus | None = None
        self._task: Task | None = None
        self.create_subscription(Task, "task", self._on_task, qos.LATCHED)
        self.create_subscription(PolicyStatus, f"{policy}/status", self._on_status, qos.LATCHED)
        # Made last, so that its answer proves that the policy node knows all the others.
        self._state = self.create_client(GetState, f"{policy}/get_state")
        self._spinner = SingleThreadedExecutor(context=context)
        self._spinner.add_node(self)

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Spins until the condition holds; whether it does.

        Raises:
            GoalCancelledError: If the user interrupts.
        """
        end_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end_s:
                return False
            self._spin()
        return True

    def _spin(self) -> None:
        if self._interrupts.received is not None:
            raise GoalCancelledError("interrupted")
        self.between_spins()
        self._spinner.spin_once(timeout_sec=SPIN_S)

    def adapt(self, goal: Adapt.Goal, on_feedback: Callable[[Adapt.Feedback], None]) -> Adapt.Result:
        """Runs a goal to its end.

        Args:
            goal: What to do.
            on_feedback: Called after each episode.

        Raises:
            PlantError: If no policy node answers, or it rejects the goal.
            GoalStoppedError: If it was aborted.
            GoalCancelledError: If the user interrupts; the goal is cancelled.
        """
        self._check_active()
        if not self.wait_for(self._action.server_is_ready, ANSWER_TIMEOUT_S):
            raise PlantError(f"the policy node offers no action within {ANSWER_TIMEOUT_S:g} s")
        sent = self._action.send_goal_async(goal, lambda message: on_feedback(message.feedback))
        if not self.wait_for(sent.done, ANSWER_TIMEOUT_S):
            raise PlantError(f"the policy node did not answer the goal within {ANSWER_TIMEOUT_S:g} s")
        handle = sent.result()
        if not handle.accepted:
            raise PlantError(f"the policy node rejected the goal: {self._why_rejected()}")
        result: Future = handle.get_result_async()
        try:
            self.wait_for(result.done, float("inf"))
        except GoalCancelledError:
            self._cancel(handle, result)
            raise
        outcome = result.result()
        if outcome.status != GoalStatus.STATUS_SUCCEEDED:
            raise GoalStoppedError(
                f"the goal was {_STATUS.get(outcome.status, 'lost')}: {outcome.result.message}"
            )
        return outcome.result

    def _check_active(self) -> None:
        name = self.resolve_service_name(self._state.srv_name).removesuffix("/get_state")
        answer = call_until_answered(self._state, GetState.Request(), self._spin, ANSWER_TIMEOUT_S)
        if answer is None:
            raise PlantError(
                f"{name} did not answer within {ANSWER_TIMEOUT_S:g} s: "
                "is it running and active, in this namespace and ROS domain?"
            )
        if answer.current_state.id != State.PRIMARY_STATE_ACTIVE:
            raise PlantError(f"{name} is {answer.current_state.label}; activate it first")

    def error_unit(self) -> str:
        """Unit of the family's error, as the name of the first task parameter tells; a goal comes first."""
        self.wait_for(lambda: self._task is not None, REASON_WAIT_S)
        return str(self._task.names[0]).rsplit("_", 1)[-1] if self._task and self._task.names else "1"

    def _cancel(self, handle: Any, result: Future) -> None:
        handle.cancel_goal_async()
        end_s = time.monotonic() + CANCEL_TIMEOUT_S
        while not result.done() and time.monotonic() < end_s:
            self._spinner.spin_once(timeout_sec=SPIN_S)

    def _why_rejected(self) -> str:
        self.wait_for(lambda: self._status is not None and "rejected" in self._status.reason, REASON_WAIT_S)
        if self._status is None:
            return "it is not active, or another goal runs"
        return str(self._status.reason)

    def _on_task(self, message: Task) -> None:
        self._task = message

    def _on_status(self, message: PolicyStatus) -> None:
        self._status = message
