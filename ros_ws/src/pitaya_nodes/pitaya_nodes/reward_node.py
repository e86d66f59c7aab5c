# SPDX-License-Identifier: Apache-2.0
"""Judges every joint state by the task's reward model from measured signals; it alone knows the goal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pitaya_msgs.msg import StampedReward, Task
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState

from meta_rl_core.bundle import Bundle, load_bundle
from meta_rl_core.errors import ContractError, InvalidValueError, PitayaError
from meta_rl_core.registry import load_reward
from meta_rl_core.runtime.terms import NameMap, assemble, joints_of, needs_velocity
from meta_rl_core.tasks import RewardModel
from pitaya_nodes import convert, qos
from pitaya_nodes.managed_node import ManagedNode, at_most_every, run
from pitaya_nodes.parameters import Setting
from pitaya_nodes.told_goal import ToldGoal

SETTINGS = (
    Setting("bundle", "", "Directory of the bundle whose reward contract must be met; empty: no check."),
    Setting("reward_model", "", "Registered name of the reward model; empty takes the one in the bundle."),
    Setting(
        "task_values",
        Parameter.Type.DOUBLE_ARRAY,
        "The task at start, in the order of the model's task names; without it, the topic `task` tells. Where policies "
        "are told a goal, its positions alone.",
    ),
)


class RewardNode(ManagedNode):
    """Publishes a reward for each joint state, stamped like it, as soon as the task is known."""

    def __init__(self) -> None:
        """Declares parameters."""
        super().__init__("reward_node", SETTINGS)
        self._states = self.diagnostics.monitor("joint_states")
        self._tasks = self.diagnostics.monitor("task")

    def configure(self) -> None:
        """Finds the reward model, checks that joints alone suffice for it, and opens the topics.

        Raises:
            PitayaError: If there is no such model, it differs from the bundle's, or it reads the action.
        """
        bundle = load_bundle(self.value("bundle")) if self.value("bundle") else None
        name = self.value("reward_model") or (bundle.manifest.reward.model if bundle else "")
        if not name:
            raise InvalidValueError("give parameter bundle or reward_model: no reward model is named")
        self._model = load_reward(name, from_file=not self.value("reward_model"))
        # The action is not measured: a model that reads it turns this NaN into a NaN reward and is refused.
        self._action = np.full(bundle.manifest.action_dim if bundle else 0, np.nan)
        if bundle is not None:
            _check_contract(self._model, bundle)
        told = self._model.goal_parameters
        self._told = [self._model.task_names.index(name) for name in told.values()]
        first = self.value("task_values") if told else None
        self._goal = ToldGoal(self, tuple(told), first)
        self._terms = tuple(self._model.signal_terms)
        self._names = NameMap(joints_of(self._terms), needs_velocity=needs_velocity(self._terms))
        self._task = self._initial_task()
        self._check_judges_signals()
        self._outlet = self.outlet(StampedReward, "reward", qos.PAIRED)
        self.listen(Task, "task", self._on_task, qos.LATCHED)
        self.listen(JointState, "joint_states", self._on_state, qos.EVERY_STATE)

    def _initial_task(self) -> NDArray[np.float64] | None:
        if self._told:
            # What nobody knows of a real robot: a model that reads more than the goal says NaN, which is refused.
            return np.full(len(self._model.task_names), np.nan)
        values = self.value("task_values")
        return None if values is None else self._checked_task(np.array(values))

    def _checked_task(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        names = self._model.task_names
        if values.shape != (len(names),) or not np.isfinite(values).all():
            raise InvalidValueError(
                f"a task of {self._model.name} has {len(names)} finite numbers ({', '.join(names)}), "
                f"got {values.tolist()}"
            )
        return values

    def _check_judges_signals(self) -> None:
        signals, task = np.zeros(len(self._model.signal_names)), np.zeros(len(self._model.task_names))
        judgement = self._model.judge(signals, self._action, task)
        if not np.isfinite([judgement.reward, judgement.sparse_reward]).all():
            raise ContractError(
                f"reward model {self._model.name!r} reads the action; "
                "on a robot only rewards of measured signals can be judged"
            )

    def _on_task(self, message: Task) -> None:
        self._tasks.came()
        try:
            if tuple(message.names) != tuple(self._model.task_names):
                raise InvalidValueError(
                    f"task parameters must be {', '.join(self._model.task_names)}, "
                    f"got {', '.join(message.names) or 'none'}"
                )
            self._task = self._checked_task(np.array(message.values))
        except PitayaError as error:
            self._tasks.refuse(type(error).__name__, str(error))
            self.get_logger().error(f"task refused: {error}")

    def _on_state(self, message: JointState) -> None:
        self._states.came()
        task = self._known_task()
        if task is None or not self.active:
            return
        try:
            reading = self._names.arrange(
                convert.reading_from_state(message, with_velocity=self._names.needs_velocity)
            )
            signals = assemble(self._terms, reading.names, reading.position, reading.velocity)
        except PitayaError as error:
            self._states.refuse(type(error).__name__, str(error))
            self.get_logger().warning(f"joint state refused: {error}", **at_most_every(1.0))
            return
        judgement = self._model.judge(signals, self._action, task)
        self._outlet.publish(convert.reward_message(message.header.stamp, judgement))

    def _known_task(self) -> NDArray[np.float64] | None:
        """The task with the goal that was told in it, or None while either is unknown."""
        if not self._told or self._task is None:
            return self._task
        if self._goal.position is None:
            return None
        task = self._task.copy()
        task[self._told] = self._goal.position
        return task


def _check_contract(model: RewardModel, bundle: Bundle) -> None:
    contract = bundle.manifest.reward
    for what in ("signal_terms", "signal_names", "task_names"):
        mine, trained = tuple(getattr(model, what)), tuple(getattr(contract, what))
        if mine != trained:
            raise ContractError(
                f"reward model {model.name!r} has {what} {mine}, but bundle {bundle.manifest.name!r} "
                f"was trained with {trained}"
            )
    if set(model.goal_parameters) != set(bundle.robot.goal_joints):
        raise ContractError(
            f"reward model {model.name!r} judges goals of {', '.join(model.goal_parameters) or 'no joint'}, but bundle "
            f"{bundle.manifest.name!r} is told goals of {', '.join(bundle.robot.goal_joints) or 'no joint'}"
        )


def main() -> int:
    """Entry point."""
    return run(RewardNode)


if __name__ == "__main__":
    raise SystemExit(main())
