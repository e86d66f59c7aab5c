# SPDX-License-Identifier: Apache-2.0
"""Brings a hand up without a policy, moves it through a scripted excitation by way of the gate, and records it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pitaya_msgs.msg import GateStatus, JointCommand
from pitaya_msgs.srv import ResetPlant
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import JointState

from meta_rl_core.bundle import load_bundle
from meta_rl_core.errors import PitayaError
from meta_rl_core.runtime.robot_interface import RobotInterface
from meta_rl_core.runtime.terms import NameMap
from pitaya_nodes import convert, qos
from pitaya_nodes.adapt_client import ros_context
from pitaya_nodes.bringup import MANAGER, NodeSpec, find_bringup, manager_of
from pitaya_nodes.demo_run import ended, is_recorded, wait_until_up
from pitaya_nodes.domain import ReservedDomain
from pitaya_nodes.errors import BringUpError, GoalCancelledError, GoalStoppedError, PlantError
from pitaya_nodes.excitation import Excitation
from pitaya_nodes.interrupts import Interrupts
from pitaya_nodes.managed_node import at_most_every
from pitaya_nodes.processes import ProcessGroup

RECORDED = ("joint_states", "executed_command")
_REPLACED = ("policy_node", "reward_node", MANAGER)
_PROGRESS_S, _RESET_S, _DISCOVERY_S = 5.0, 300.0, 10.0


@dataclass(frozen=True)
class ExcitationSettings:
    """What is moved, and how much.

    Attributes:
        bring_up: Bring-up file whose policy and judge are left out.
        arguments: Its arguments.
        folder: Run folder for logs and recording.
        seed: Seed of start states and poses.
        episodes: Times the plant is reset and moved.
        steps: Policy periods per episode.
        parameters: Further parameters by node name.
    """

    bring_up: str
    arguments: Mapping[str, str]
    folder: Path
    seed: int = 0
    episodes: int = 2
    steps: int = 40
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def specs(self) -> list[NodeSpec]:
        """The processes: recorder, plant, gate, and a manager of those that need one."""
        given = {**self.arguments, "record": "true", "out": str(self.folder)}
        kept = [
            replace(spec, parameters={**spec.parameters, **self.parameters.get(spec.name, {})})
            for spec in find_bringup(self.bring_up).resolve(given)
            if spec.name not in _REPLACED
        ]
        return [*kept, manager_of([spec.name for spec in kept if spec.managed], "")]


class Exciter(Node):
    """Commands the gate in place of a policy."""

    def __init__(self, context: Context, robot: RobotInterface, check: Callable[[], None]) -> None:
        """Connects.

        Args:
            context: An initialised rclpy context.
            robot: What an action means.
            check: Called while waiting; may raise to end the wait.
        """
        super().__init__("exciter", context=context)
        self._robot, self._check = robot, check
        self._names = NameMap(robot.joint_names)
        self._motion: Excitation | None = None
        self._gate = GateStatus()
        self._message = convert.command_message(robot.action.joints)
        self._outlet = self.create_publisher(JointCommand, "joint_command", qos.COMMAND)
        self.create_subscription(JointState, "joint_states", self._on_state, qos.SENSOR)
        self.create_subscription(GateStatus, "command_gate/status", self._on_gate, qos.LATCHED)
        self._reset_client = self.create_client(ResetPlant, "reset_plant")
        self._spinner = SingleThreadedExecutor(context=context)
        self._spinner.add_node(self)

    def connect(self) -> None:
        """Waits until the gate listens and everything is recorded.

        Raises:
            BringUpError: If that takes too long.
        """
        topics = [self.resolve_topic_name(topic) for topic in RECORDED]

        def connected() -> bool:
            return self._outlet.get_subscription_count() > 0 and all(
                is_recorded(self, topic) for topic in topics
            )

        if not self._wait(lambda: connected() and self._reset_client.service_is_ready(), _DISCOVERY_S):
            raise BringUpError(
                f"gate, recorder and plant did not all appear within {_DISCOVERY_S:g} s; see the logs"
            )

    def move(self, seed: int, episode: int, steps: int) -> None:
        """Resets the plant and moves it for so many periods.

        Raises:
            PlantError: If it does not reset, or shows no state to answer for 5 s.
            GoalStoppedError: If the gate lets nothing pass.
        """
        future = self._reset_client.call_async(ResetPlant.Request(seed=seed, episode=episode))
        if not self._wait(future.done, _RESET_S):
            raise PlantError(f"the plant did not answer reset_plant within {_RESET_S:g} s")
        answer = future.result()
        if not answer.success:
            raise PlantError(f"the plant refused to reset: {answer.message}")
        generator = np.random.default_rng([seed, episode])
        motion = Excitation(self._robot, generator, steps, convert.stamp_ns(answer.stamp))
        self._motion, reached = motion, -1
        while not motion.done:
            if motion.step == reached:
                raise PlantError(
                    f"no joint state to answer came for {_PROGRESS_S:g} s, after {reached} of {steps} periods"
                )
            reached = motion.step
            self._wait(lambda now=reached: motion.done or motion.step > now, _PROGRESS_S)  # type: ignore[misc]
        self._motion = None

    def rest(self, duration_s: float) -> None:
        """Lets what is on its way arrive."""
        self._wait(lambda: False, duration_s)

    def _wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        end_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end_s:
                return False
            self._check()
            if self._gate.mode in (GateStatus.FAULT, GateStatus.STOPPED):
                raise GoalStoppedError(f"the command gate lets nothing pass: {self._gate.reason}")
            self._spinner.spin_once(timeout_sec=0.05)
        return True

    def _on_gate(self, status: GateStatus) -> None:
        self._gate = status

    def _on_state(self, message: JointState) -> None:
        if self._motion is None:
            return
        try:
            reading = self._names.arrange(convert.reading_from_state(message, with_velocity=False))
        except PitayaError as error:
            self.get_logger().warning(f"joint state refused: {error}", **at_most_every(1.0))
            return
        command = self._motion.answer(reading)
        if command is not None:
            self._outlet.publish(convert.fill_command(self._message, message.header.stamp, command))


def run_excitation(
    settings: ExcitationSettings, interrupts: Interrupts, on_stage: Callable[[str], None]
) -> Path:
    """Moves and records; no process of it is left when this returns or raises.

    Args:
        settings: What to do; the folder must exist.
        interrupts: Says when the user wants to stop.
        on_stage: Called with what is done next.

    Returns:
        The recording.

    Raises:
        PitayaError: If a node refuses or dies, the plant does not move, or the user interrupts.
    """
    robot = load_bundle(Path(settings.arguments["bundle"])).robot
    logs = settings.folder / "logs"
    logs.mkdir(exist_ok=True)
    domain = ReservedDomain()
    environment = {"ROS_DOMAIN_ID": str(domain.number), "ROS_LOG_DIR": str(logs)}
    try:
        with ProcessGroup(environment, logs) as group, ros_context(domain.number) as context:

            def check() -> None:
                if interrupts.received is not None:
                    raise GoalCancelledError("interrupted")
                for child in group.poll():
                    raise ended(child)

            for spec in settings.specs():
                group.start(spec)
            on_stage(f"{len(group.children)} processes start in ROS domain {domain.number}")
            wait_until_up(group, interrupts)
            exciter = Exciter(context, robot, check)
            exciter.connect()
            for episode in range(settings.episodes):
                on_stage(f"episode {episode + 1} of {settings.episodes}: {settings.steps} periods")
                exciter.move(settings.seed, episode, settings.steps)
            exciter.rest(0.5)
            exciter.destroy_node()
    finally:
        domain.close()
    return settings.folder / "recording"
