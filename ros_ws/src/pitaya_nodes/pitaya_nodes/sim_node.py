# SPDX-License-Identifier: Apache-2.0
"""A simulated robot on ROS topics: in lock-step with its commands, repeatable to the bit, or in real time."""

from __future__ import annotations

import numpy as np
from pitaya_msgs.msg import JointCommand, Task
from pitaya_msgs.srv import ResetPlant, SetTask
from rclpy.clock import Clock, ClockType
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import JointState

from meta_rl_core.errors import InvalidValueError, PitayaError
from meta_rl_core.runtime.terms import JointReading
from pitaya_nodes import convert, qos
from pitaya_nodes.applied_commands import APPLIED_TOPIC
from pitaya_nodes.managed_node import ManagedNode, at_most_every, run
from pitaya_nodes.parameters import Setting
from pitaya_nodes.simulation import Simulation

REPEAT_S = 0.2
LOCK_STEP, REAL_TIME = "lock_step", "real_time"

SETTINGS = (
    Setting("plant", "dclaw", "Registered name of the simulated plant."),
    Setting("family", "", "Task family that tasks are drawn from by seed; empty takes the plant's own."),
    Setting(
        "mode",
        LOCK_STEP,
        "lock_step waits for the command of each state; real_time lets time pass.",
        choices=(LOCK_STEP, REAL_TIME),
    ),
    Setting("real_time_factor", 1.0, "Simulated seconds per second in real_time.", low=0.01, high=100.0),
    Setting("state_rate_hz", 100.0, "Joint states per simulated second in real_time.", low=1.0, high=1000.0),
    Setting("task_seed", 0, "Seed of the held-out task posed at start; -1 poses none.", low=-1),
)


class SimNode(ManagedNode):
    """Publishes joint states and /clock, executes `executed_command`, poses tasks and resets on request."""

    def __init__(self) -> None:
        """Declares parameters."""
        super().__init__("sim_node", SETTINGS)
        self._commands = self.diagnostics.monitor("executed_command")

    def configure(self) -> None:
        """Builds the plant, poses the first task and opens topics and services.

        Raises:
            PitayaError: If plant or family is unknown, or the state rate does not fit the physics.
        """
        self._sim = Simulation(self.value("plant"), self.value("family"))
        self._lock_step = self.value("mode") == LOCK_STEP
        self._step_s = self._sim.plant.period_s if self._lock_step else self._state_period_s()
        self._clock_outlet = self.outlet(ClockMessage, "/clock", qos.CLOCK)
        self._state_outlet = self.outlet(JointState, "joint_states", qos.STATE)
        self._applied_outlet = self.outlet(JointCommand, APPLIED_TOPIC, qos.PAIRED)
        self._task_outlet = self.speaker(Task, "task", qos.LATCHED)
        self._goal_outlet = self.speaker(JointState, "goal", qos.LATCHED)
        if self.value("task_seed") >= 0:
            self._sim.draw_task(self.value("task_seed"))
            self._publish_task()
        self.listen(JointCommand, "executed_command", self._on_command, qos.PAIRED)
        self.serve(ResetPlant, "reset_plant", self._on_reset)
        self.serve(SetTask, "set_task", self._on_set_task)
        period_s = REPEAT_S if self._lock_step else self._step_s / self.value("real_time_factor")
        tick = self._repeat if self._lock_step else self._advance
        self._fresh = False
        self.made(
            self.create_timer(period_s, tick, clock=Clock(clock_type=ClockType.STEADY_TIME)),
            self.destroy_timer,
        )

    def activate(self) -> None:
        """Shows the first state."""
        self._publish(self._sim.state)

    def _state_period_s(self) -> float:
        period_s, timestep_s = 1.0 / self.value("state_rate_hz"), self._sim.plant.timestep_s
        substeps = max(round(period_s / timestep_s), 1)
        if abs(substeps * timestep_s - period_s) > 1e-9:
            raise InvalidValueError(
                f"state_rate_hz must divide the physics rate of {1.0 / timestep_s:g} Hz, "
                f"got {self.value('state_rate_hz'):g} Hz"
            )
        return substeps * timestep_s

    def _on_command(self, message: JointCommand) -> None:
        self._commands.came()
        if not self.active:
            return
        command = convert.reading_from_command(message)
        if self._lock_step and command.stamp_ns != self._sim.state.stamp_ns:
            # A repeated state may be answered twice; the second answer comes too late to count.
            return
        try:
            self._sim.write(command)
            self._applied_outlet.publish(message)
            if self._lock_step:
                self._publish(self._sim.step(self._step_s))
        except PitayaError as error:
            self._commands.refuse(type(error).__name__, str(error))
            self.get_logger().error(f"command refused: {error}", **at_most_every(1.0))

    def _repeat(self) -> None:
        """Shows an unanswered state again, since the first message or its answer may have been lost."""
        if self.active and not self._fresh:
            self._publish(self._sim.state)
        self._fresh = False

    def _advance(self) -> None:
        if not self.active:
            return
        try:
            self._publish(self._sim.step(self._step_s))
        except PitayaError as error:
            self.get_logger().error(f"simulation stopped: {error}", **at_most_every(1.0))

    def _publish(self, state: JointReading) -> None:
        self._fresh = True
        self._clock_outlet.publish(ClockMessage(clock=convert.time_message(state.stamp_ns)))
        self._state_outlet.publish(convert.state_message(state))

    def _publish_task(self) -> None:
        self._task_outlet.publish(self._task_message())
        if goal := self._sim.goal:
            told = np.array([*goal.values()])
            self._goal_outlet.publish(
                convert.state_message(JointReading(self._sim.state.stamp_ns, tuple(goal), told))
            )

    def _task_message(self) -> Task:
        sim = self._sim
        return convert.task_message(
            sim.family, sim.task_names, sim.plant.task, sim.task_seed, sim.state.stamp_ns
        )

    def _on_reset(self, request: ResetPlant.Request, response: ResetPlant.Response) -> ResetPlant.Response:
        if not self.active:
            response.success, response.message = False, "the simulation is not active; activate it first"
            return response
        try:
            state = self._sim.reset(request.seed, request.episode)
        except PitayaError as error:
            response.success, response.message = False, str(error)
            return response
        response.success, response.stamp = True, convert.time_message(state.stamp_ns)
        self._publish(state)
        return response

    def _on_set_task(self, request: SetTask.Request, response: SetTask.Response) -> SetTask.Response:
        try:
            if request.by_seed:
                self._sim.draw_task(request.seed)
            else:
                self._sim.set_task(np.array(request.values))
            response.success = True
            self._publish_task()
        except PitayaError as error:
            response.success, response.message = False, str(error)
        response.task = self._task_message()
        return response


def main() -> int:
    """Entry point."""
    return run(SimNode)


if __name__ == "__main__":
    raise SystemExit(main())
