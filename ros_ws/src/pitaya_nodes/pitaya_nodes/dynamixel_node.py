# SPDX-License-Identifier: Apache-2.0
"""A robot on a Dynamixel bus as the plant: joint states out, position commands in, resets and reboots on request."""

from __future__ import annotations

import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from pitaya_msgs.msg import JointCommand
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from meta_rl_core.bundle import load_bundle
from meta_rl_core.dynamixel.driver import HandDriver
from meta_rl_core.dynamixel.mode import Mode
from meta_rl_core.dynamixel.port import BusError, SteadyPort
from meta_rl_core.dynamixel.routines import to_start
from meta_rl_core.errors import InvalidValueError, PitayaError
from meta_rl_core.runtime.robot_comparison import refuse_contradictions
from meta_rl_core.runtime.robot_file import find_robot, load_robot
from meta_rl_core.runtime.terms import NameMap
from pitaya_nodes import convert, qos
from pitaya_nodes.applied_commands import APPLIED_TOPIC
from pitaya_nodes.emergency_stop import EmergencyStop
from pitaya_nodes.managed_node import ManagedNode, at_most_every, run
from pitaya_nodes.parameters import Setting
from pitaya_nodes.prepared import command_of
from pitaya_nodes.realtime import REALTIME_PRIORITY
from pitaya_nodes.reset_service import ResetService
from pitaya_nodes.steady_stamps import SteadyStamps

SETTINGS = (
    Setting("port", "/dev/ttyUSB0", "Serial port of the motors' bus."),
    Setting("robot", "dclaw", "Robot description: the name of a shipped one, or a path."),
    Setting("bundle", "", "Directory of the policy bundle that the robot must fit; empty: no check."),
    Setting(
        "person_timeout_s",
        120.0,
        "How long a reset that failed waits for a person before it is answered [s].",
        low=0.0,
        high=3600.0,
    ),
    REALTIME_PRIORITY,
)
INACTIVE = "the driver is not active; activate it first"
LEVELS = {
    Mode.FOLLOW: DiagnosticStatus.OK,
    Mode.HOLD: DiagnosticStatus.OK,
    Mode.ROUTINE: DiagnosticStatus.OK,
    Mode.OFF: DiagnosticStatus.WARN,
    Mode.FAULT: DiagnosticStatus.ERROR,
    Mode.LOST: DiagnosticStatus.ERROR,
}


class DynamixelNode(ManagedNode):
    """Configure checks the motors and takes their torque; activate gives torque and goes slowly to the start pose."""

    def __init__(self) -> None:
        """Declares parameters; the emergency stop works from here on."""
        super().__init__("dynamixel_node", SETTINGS)
        self._commands = self.diagnostics.monitor("executed_command")
        self.diagnostics.add(self._report)
        self._driver: HandDriver | None = None
        self._resets: ResetService | None = None
        self._late = self._cycles = 0
        self._stamps = SteadyStamps()
        self._told = ""
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._stop = EmergencyStop(self, self._halt, self._let_go_on)

    def configure(self) -> None:
        """Compares description, bundle and motors, and opens topics and services.

        Raises:
            PitayaError: If they contradict each other, or the port cannot be opened.
        """
        robot = load_robot(find_robot(self.value("robot")))
        if robot.bus is None:
            raise InvalidValueError(
                f"robot {robot.name} has no Dynamixel bus: its description lacks dynamixel"
            )
        if self.value("bundle"):
            for note in refuse_contradictions(robot, load_bundle(self.value("bundle")).robot):
                self.get_logger().info(note)
        port = SteadyPort(self.value("port"), robot.bus.baud_rate, robot.bus.latency_timer_ms / 1000.0)
        driver = HandDriver(robot, port)
        for note in driver.connect():
            self.get_logger().warning(note)
        self._driver = driver
        if self._stop.reason:
            driver.stop(self._stop.reason)
        self._period_s = 1.0 / robot.state_hz
        self._next_s = 0.0
        self._states = self.outlet(JointState, "joint_states", qos.STATE)
        self._message = JointState(name=list(robot.measured_names))
        self._names, self._applied = NameMap(robot.joint_names), command_of(robot.joint_names)
        self._applied_outlet = self.outlet(JointCommand, APPLIED_TOPIC, qos.PAIRED)
        self.listen(JointCommand, "executed_command", self._on_command, qos.PAIRED)
        self._resets = self.made(
            ResetService(self, driver, self.value("person_timeout_s")), lambda made: made.destroy()
        )
        self.serve(Trigger, "~/continue_reset", self._on_continue)
        self.serve(Trigger, "~/reboot_motors", self._on_reboot)
        self.serve(Trigger, "~/enable_torque", self._on_enable)
        self.made(self.create_timer(self._period_s, self._tick, clock=self._steady), self.destroy_timer)

    def activate(self) -> None:
        """Torque on where the joints stand, then slowly to the start pose.

        Raises:
            BusError: If the hand does not get there; it is without torque then. If it was stopped: it holds.
        """
        driver = self._bus()
        try:
            driver.cycle()
            driver.start(to_start(driver))
            while driver.mode is Mode.ROUTINE:
                begin_s = time.monotonic()
                self._stop.look()
                driver.cycle()
                time.sleep(max(begin_s + self._period_s - time.monotonic(), 0.0))
            if driver.mode is not Mode.HOLD or driver.reason:
                raise BusError(driver.reason or f"the driver is in mode {driver.mode.value}")
        except BusError:
            if not driver.stopped:
                self._torque_off(driver)
            raise
        self._next_s = 0.0
        self._stamps.begin(driver.clock(), self.get_clock().now().nanoseconds)
        self.get_logger().info("ready: the hand stands in its start pose")

    def deactivate(self) -> None:
        """Takes torque from all motors."""
        if self._resets is not None:
            self._resets.give_up("the node was deactivated")
        if self._driver is not None:
            self._torque_off(self._driver)

    def _torque_off(self, driver: HandDriver) -> None:
        try:
            driver.off()
        except BusError as error:
            self.get_logger().warning(f"torque may still be on: {error}")

    def release(self) -> None:
        """Takes torque and closes the port."""
        if self._driver is not None:
            self._driver.close()
            self._driver = None

    def destroy_node(self) -> None:
        """Whatever ends the node, the motors lose torque first."""
        self.release()
        super().destroy_node()

    def _halt(self, reason: str) -> None:
        """The motors first, then those who wait for a reset."""
        if self._driver is not None:
            self._driver.stop(reason)
        if self._resets is not None:
            self._resets.give_up(reason)

    def _let_go_on(self) -> None:
        if self._driver is not None:
            self._driver.clear_stop()

    def _bus(self) -> HandDriver:
        if self._driver is None:
            raise BusError("the node is not configured")
        return self._driver

    def _tick(self) -> None:
        driver = self._driver
        if driver is None:
            return
        begin_s = driver.clock()
        if self._next_s and begin_s - self._next_s > self._period_s:
            self._late += 1
        self._next_s = begin_s + self._period_s
        self._cycles += 1
        state, stamp_ns = driver.cycle(), None
        if state is not None:
            stamp_ns = self._stamps.stamp_ns(state.time_s)
            self._message.header.stamp = convert.time_message(stamp_ns)
            self._message.position = state.position.tolist()
            self._message.velocity = state.velocity.tolist()
            self._message.effort = state.effort.tolist()
            self._states.publish(self._message)
        if self._resets is not None:
            self._resets.step(stamp_ns, self._stop.reason or ("" if self.active else INACTIVE))
        self._tell(driver)

    def _tell(self, driver: HandDriver) -> None:
        """Logs a mode with its reason once."""
        told = f"{driver.mode.value}: {driver.reason}" if driver.reason not in ("", driver.stopped) else ""
        if told and told != self._told:
            if driver.mode in (Mode.FAULT, Mode.LOST):
                self.get_logger().error(told)
            else:
                self.get_logger().warning(told)
        self._told = told

    def _on_command(self, message: JointCommand) -> None:
        self._commands.came()
        if not self.active or self._driver is None:
            self._commands.refuse("not active", "the driver is not active")
            return
        try:
            command = self._names.arrange(convert.reading_from_command(message))
            applied = self._driver.command(command.position)
            self._applied_outlet.publish(self._applied.filled(command.stamp_ns, applied))
        except PitayaError as error:
            self._commands.refuse(type(error).__name__, str(error))
            self.get_logger().warning(f"command refused: {error}", **at_most_every(1.0))

    def _on_continue(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        del request
        response.success = self._resets is not None and self._resets.go_on()
        response.message = "trying again" if response.success else "no reset waits for a person"
        return response

    def _on_reboot(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        del request
        return self._answer(response, self._reboot)

    def _on_enable(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        del request
        return self._answer(response, self._enable)

    def _answer(self, response: Trigger.Response, action: Any) -> Trigger.Response:
        try:
            response.message, response.success = action(), True
        except PitayaError as error:
            response.message = str(error)
        return response

    def _reboot(self) -> str:
        restarted = self._bus().reboot_failed()
        names = ", ".join(map(str, restarted)) or "none had an error"
        return f"restarted: {names}; torque is off, ~/enable_torque gives it back"

    def _enable(self) -> str:
        if not self.active:
            raise BusError("the driver is not active; activate it, which gives torque")
        self._bus().start(to_start(self._bus()))
        return "torque is on; going to the start pose"

    def _report(self) -> DiagnosticStatus:
        driver = self._driver
        if driver is None:
            return DiagnosticStatus(level=DiagnosticStatus.STALE, name="motors", message="not configured")
        traffic, readings = driver.link.bus.traffic, driver.link.latest
        values = {
            "mode": driver.mode.value,
            "cycles": self._cycles,
            "late cycles": self._late,
            "requests": traffic.requests,
            "answers lost": traffic.lost,
            "answers late": driver.link.late,
            "answers corrupt": traffic.corrupt + driver.link.corrupt,
            "holds": driver.holds,
            "reach": f"{driver.heat.share:.2f}" if driver.heat else "1.00",
        }
        values |= {f"{joint} temperature_c": r.temperature_c for joint, r in readings.items()}
        return DiagnosticStatus(
            level=DiagnosticStatus.ERROR if driver.stopped else LEVELS[driver.mode],
            name="motors",
            message=driver.stopped or driver.reason or driver.mode.value,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )


def main() -> int:
    """Entry point."""
    return run(DynamixelNode)


if __name__ == "__main__":
    raise SystemExit(main())
