# SPDX-License-Identifier: Apache-2.0
"""A ros2_control controller as far as others can tell: parameter, topic, its state in controller_manager's diagnostics.

As documented: a message with a non-finite value is dropped whole; one of another length makes the update fail, and
controller_manager takes the controller out of service.
"""

import math
from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.context import Context
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

TELL_S = 0.1


class Controller(Node):
    """A forward_command_controller or, with `trajectory`, a joint_trajectory_controller.

    Attributes:
        taken: Positions it was told, in its own joint order.
        state: Its lifecycle state.
    """

    def __init__(
        self,
        context: Context,
        name: str,
        joints: Sequence[str],
        *,
        trajectory: bool = False,
        state: str = "active",
    ) -> None:
        super().__init__(name, context=context)
        self.declare_parameter("joints", list(joints))
        self.joints, self.state = tuple(joints), state
        self.taken: list[list[float]] = []
        self.trajectories: list[JointTrajectory] = []
        if trajectory:
            self.create_subscription(JointTrajectory, f"{name}/joint_trajectory", self._on_trajectory, 1)
        else:
            self.create_subscription(Float64MultiArray, f"{name}/commands", self._on_array, 1)
        self._manager = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(TELL_S, self._tell)

    def _on_array(self, message: Float64MultiArray) -> None:
        if self.state != "active" or not all(map(math.isfinite, message.data)):
            return
        if len(message.data) != len(self.joints):
            self.state = "inactive"
            return
        self.taken.append(list(message.data))

    def _on_trajectory(self, message: JointTrajectory) -> None:
        if self.state != "active" or set(message.joint_names) != set(self.joints) or not message.points:
            return
        last = dict(zip(message.joint_names, message.points[-1].positions, strict=True))
        self.taken.append([last[joint] for joint in self.joints])
        self.trajectories.append(message)

    def _tell(self) -> None:
        values = [KeyValue(key=f"{self.get_name()}.state", value=self.state)]
        status = DiagnosticStatus(name="controller_manager: Controllers Activity", values=values)
        self._manager.publish(DiagnosticArray(status=[status]))
