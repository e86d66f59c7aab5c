# SPDX-License-Identifier: Apache-2.0
"""Hands executed commands to a ros2_control controller; refuses one that is missing, inactive or of another size."""

from __future__ import annotations

from array import array

from builtin_interfaces.msg import Duration
from diagnostic_msgs.msg import DiagnosticArray
from pitaya_msgs.msg import JointCommand
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from meta_rl_core.bundle import load_bundle
from meta_rl_core.errors import InvalidValueError, PitayaError
from meta_rl_core.runtime.terms import NameMap
from pitaya_nodes import convert, qos
from pitaya_nodes.controller_state import ControllerError, inspect_controller, state_in
from pitaya_nodes.managed_node import ManagedNode, run
from pitaya_nodes.parameters import Setting

TOPICS = {"array": "commands", "trajectory": "joint_trajectory"}

SETTINGS = (
    Setting("bundle", "", "Directory of the policy bundle whose joints the controller must have."),
    Setting("controller", "forward_position_controller", "Name of the controller."),
    Setting(
        "output",
        "array",
        "array for a forward_command_controller, trajectory for a joint_trajectory_controller.",
        choices=tuple(TOPICS),
    ),
    Setting(
        "patience_s",
        5.0,
        "How long configure waits for the controller and for what controller_manager says of it [s].",
        low=0.1,
        high=60.0,
    ),
)


class ControllerLink(ManagedNode):
    """Hands executed commands on to one controller, as long as that one is active."""

    def __init__(self) -> None:
        """Declares parameters."""
        super().__init__("controller_link", SETTINGS)
        self._commands = self.diagnostics.monitor("executed_command")
        self._problem = ""

    def configure(self) -> None:
        """Looks at the controller and opens the topics.

        Raises:
            PitayaError: If the controller is missing, inactive or has other joints than the bundle.
        """
        if not self.value("bundle"):
            raise InvalidValueError("parameter bundle is empty: give the directory of a policy bundle")
        robot = load_bundle(self.value("bundle")).robot
        self._joints, self._period_s = robot.action.joints, robot.period_s
        name, self._output = self.value("controller"), self.value("output")
        topic = f"{name}/{TOPICS[self._output]}"
        seen = inspect_controller(self, name, topic, self.value("patience_s"))
        complaint = seen.complaint(self._joints, ordered=self._output == "array")
        if complaint:
            raise ControllerError(complaint)
        self._names, self._problem = NameMap(self._joints), ""
        kind = Float64MultiArray if self._output == "array" else JointTrajectory
        self._outlet = self.outlet(kind, topic, qos.CONTROLLER)
        self.listen(DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.REPORT)
        self.listen(JointCommand, "executed_command", self._on_command, qos.PAIRED)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        state = state_in(message, self.value("controller"))
        if state is None:
            return
        before = self._problem
        self._problem = "" if state == "active" else f"controller {self.value('controller')} is {state}"
        if self._problem and self._problem != before:
            self.get_logger().error(f"{self._problem}: no command passes until it is active again")

    def _on_command(self, message: JointCommand) -> None:
        self._commands.came()
        if not self.active:
            return
        if self._problem:
            self._commands.refuse("controller not active", self._problem)
            return
        try:
            position = self._names.arrange(convert.reading_from_command(message)).position
        except PitayaError as error:
            self._commands.refuse(type(error).__name__, str(error))
            return
        self._outlet.publish(self._message(array("d", position)))

    def _message(self, position: array[float]) -> Float64MultiArray | JointTrajectory:
        if self._output == "array":
            return Float64MultiArray(data=position)
        whole_s = int(self._period_s)
        due = Duration(sec=whole_s, nanosec=round((self._period_s - whole_s) * convert.NANOSECONDS))
        # A stamp of zero means: from now on.
        return JointTrajectory(
            joint_names=list(self._joints),
            points=[JointTrajectoryPoint(positions=position, time_from_start=due)],
        )


def main() -> int:
    """Entry point."""
    return run(ControllerLink)


if __name__ == "__main__":
    raise SystemExit(main())
