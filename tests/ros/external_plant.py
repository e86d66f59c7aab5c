# SPDX-License-Identifier: Apache-2.0
"""A plant written from docs/ros_interface.md alone: nine joints that jump to their command, and a valve they push.

It imports nothing of Pitaya but its messages. `python external_plant.py` runs it in lock-step.
"""

import math
from collections.abc import Callable

import rclpy
from builtin_interfaces.msg import Time
from pitaya_msgs.msg import JointCommand, Task
from pitaya_msgs.srv import ResetPlant
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState

FINGERS = tuple(f"{finger}_joint{number}" for finger in ("ff", "mf", "th") for number in range(3))
VALVE = "valve_joint"
PERIOD_NS = 100_000_000
REPEAT_S = 0.1


class ExternalPlant(Node):
    """Lock-step: shows a state, waits for the command stamped like it, moves on.

    Attributes:
        distort: Changes a joint state just before it is published; None publishes nothing.
        executed: Commands that were executed.
    """

    def __init__(self, context: Context | None = None) -> None:
        super().__init__("external_plant", context=context)
        self.distort: Callable[[JointState], JointState | None] = lambda state: state
        self.executed: list[JointCommand] = []
        self._now_ns = 5_000_000_000
        self._position = dict.fromkeys((*FINGERS, VALVE), 0.0)
        self._velocity = dict.fromkeys((*FINGERS, VALVE), 0.0)
        self._states = self.create_publisher(JointState, "joint_states", 10)
        self.create_subscription(JointCommand, "executed_command", self._on_command, 50)
        self.create_service(ResetPlant, "reset_plant", self._on_reset)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._tasks = self.create_publisher(Task, "task", latched)
        self._tasks.publish(Task(family="dclaw-turn", names=["target_rad"], values=[0.5], seed=-1))
        self.create_timer(REPEAT_S, self._publish)

    def _on_reset(self, request: ResetPlant.Request, response: ResetPlant.Response) -> ResetPlant.Response:
        self._now_ns += 1_000_000
        for name in self._position:
            self._position[name], self._velocity[name] = 0.0, 0.0
        self._position[VALVE] = 0.1 * (request.episode % 3)
        response.success, response.stamp = True, self._stamp()
        self._publish()
        return response

    def _on_command(self, command: JointCommand) -> None:
        if command.header.stamp != self._stamp():
            return
        self.executed.append(command)
        for name, target in zip(command.joint_names, command.position, strict=True):
            self._velocity[name] = (target - self._position[name]) * 10.0
            self._position[name] = target
        push = 0.05 * math.tanh(sum(self._position[name] for name in FINGERS))
        self._position[VALVE] += push
        self._velocity[VALVE] = push * 10.0
        self._now_ns += PERIOD_NS
        self._publish()

    def _publish(self) -> None:
        state = JointState(
            name=list(self._position),
            position=list(self._position.values()),
            velocity=list(self._velocity.values()),
        )
        state.header.stamp = self._stamp()
        shown = self.distort(state)
        if shown is not None:
            self._states.publish(shown)

    def _stamp(self) -> Time:
        return Time(sec=self._now_ns // 10**9, nanosec=self._now_ns % 10**9)


def main() -> None:
    """Runs until it is told to stop."""
    rclpy.init()
    plant = ExternalPlant()
    try:
        rclpy.spin(plant)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        plant.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
