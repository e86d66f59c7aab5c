# SPDX-License-Identifier: Apache-2.0
"""Drives a robot on a Dynamixel bus: one cycle writes goals, reads all motors and looks after them.

Knows no ROS: whoever owns it calls `cycle` at the state rate from one thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.dynamixel.bus import MotorBus
from meta_rl_core.dynamixel.derating import Heat
from meta_rl_core.dynamixel.goals import Goals
from meta_rl_core.dynamixel.link import MotorLink
from meta_rl_core.dynamixel.mode import Mode
from meta_rl_core.dynamixel.port import BusError, DisconnectedError, SteadyPort
from meta_rl_core.dynamixel.state import RobotState, read_state
from meta_rl_core.dynamixel.watch import Severity, conclude
from meta_rl_core.errors import InvalidValueError, NonFiniteError, PitayaError
from meta_rl_core.runtime.robot_description import RobotDescription

Routine = Iterator[None]
RECONNECT_S = 0.3
REBOOT_S = 0.5


class HandDriver:
    """A robot on a Dynamixel bus.

    Attributes:
        robot: Its description.
        link: Its motors.
        mode: What it does now.
        reason: Why it holds, faults or is lost; one sentence, or empty.
        state: The latest complete state, or None before the first.
        stopped: Why a person must let it go on, if there was an emergency stop; otherwise empty.
        holds: How often it stopped following by itself.
        missing: While lost: why the motors were not found again yet.
    """

    def __init__(self, robot: RobotDescription, port: SteadyPort) -> None:
        """Opens nothing.

        Args:
            robot: Its description.
            port: The serial port; its clock is the driver's.

        Raises:
            InvalidValueError: If the robot has no Dynamixel bus.
        """
        self.robot, self._port = robot, port
        self.link = MotorLink(robot, MotorBus(port), port.clock)
        self.mode, self.reason = Mode.OFF, ""
        self.state: RobotState | None = None
        self.holds, self.missing, self.stopped = 0, "", ""
        self.heat = None if robot.derating is None else Heat(robot.derating)
        self._goals = Goals(self.link, self.heat)
        self._routine: Routine | None = None
        self._command_s = self._retry_s = 0.0
        self._reopen = False
        self._fault = ""

    def clock(self) -> float:
        """Steady time [s]."""
        return self._port.clock()

    def connect(self) -> tuple[str, ...]:
        """Opens the port, checks the motors, takes their torque and prepares them; gives harmless differences.

        Raises:
            BusError: If the port cannot be opened or the motors are not what the description says.
        """
        self.link.bus.open()
        try:
            notes = self.link.check()
            self.link.torque_off(self.link.joints)
            self.link.prepare()
        except BusError:
            self.link.bus.close()
            raise
        self.mode, self.reason = Mode.OFF, ""
        return notes

    def close(self) -> None:
        """Takes torque from all motors, as far as they answer, and closes the port."""
        try:
            # Their bus watchdogs stop motors that do not hear this.
            with contextlib.suppress(BusError):
                self.link.torque_off(self.link.joints, acknowledged=self.mode is not Mode.LOST)
        finally:
            self.mode = Mode.OFF
            self.link.bus.close()

    def hold(self, reason: str = "") -> None:
        """Holds the fingers that have torque where they are."""
        self._routine = None
        self._goals.hold()
        self.mode = Mode.HOLD if self.powered else Mode.OFF
        self.reason = reason

    def stop(self, reason: str) -> None:
        """Emergency stop: what has torque holds where it is, at once; nothing else is done until `clear_stop`.

        Works in every mode. No motor loses its torque, and none gets any.
        """
        self.stopped = reason
        if self.mode in (Mode.FAULT, Mode.LOST):
            return
        self.hold(reason)
        # Where the port is gone, the next cycle finds that out.
        with contextlib.suppress(BusError):
            self.link.write_goals(self._goals.ticks())

    def clear_stop(self) -> None:
        """A person lets it go on: commands and routines are taken again; by itself nothing moves."""
        if self.stopped and self.reason == self.stopped:
            self.reason = "a person has ended an emergency stop, and nothing was asked for since"
        self.stopped = ""

    def off(self) -> None:
        """Takes torque from all motors."""
        self._routine = None
        self.mode, self.reason = Mode.OFF, "torque is off"
        self._goals.forget()
        self.link.torque_off(self.link.joints)

    def command(self, position: Iterable[float]) -> NDArray[np.float64]:
        """Sends a goal to the fingers, cut to the limits and to what hot motors may reach; gives it as sent [rad].

        Args:
            position: Angles of the commanded joints in the robot's order [rad], shape (A,).

        Raises:
            InvalidValueError: If there are too few or many.
            NonFiniteError: If one is NaN or infinite.
            BusError: If the driver does not take commands now, or the port is gone; says why.
        """
        goal = np.asarray(list(position), dtype=np.float64)
        if goal.shape != (len(self.robot.joints),):
            raise InvalidValueError(f"a command has {len(self.robot.joints)} positions, got {goal.size}")
        if not np.isfinite(goal).all():
            raise NonFiniteError(f"a command must be finite, got {goal.tolist()}")
        if self.stopped or self.mode not in (Mode.HOLD, Mode.FOLLOW) or not self.powered:
            why = self.stopped or self.reason or "no torque"
            raise BusError(f"the driver takes no commands in mode {self.mode.value}: {why}")
        if self.heat is not None and self.heat.share == 0.0:
            raise BusError(f"the driver takes no commands until motors have cooled: {self.heat.reason}")
        goal = np.clip(goal, self.robot.command_low_rad, self.robot.command_high_rad)
        self._goals.aim(dict(zip(self.robot.joint_names, goal.tolist(), strict=True)))
        self._command_s = self.clock()
        self.mode, self.reason = Mode.FOLLOW, ""
        # Not only with the next cycle: 10 ms of delay cost a policy that was trained without six points of success.
        # Where the port is gone this fails, so that nobody is told of a command that no motor got.
        self.link.write_goals(self._goals.ticks())
        return np.array([self._goals.reachable(joint) for joint in self.robot.joint_names])

    def start(self, routine: Routine) -> None:
        """Puts a scripted move in charge; it goes on by one step with every cycle.

        Raises:
            BusError: If the driver is in a state from which none may start, or was stopped.
        """
        if self.stopped or self.mode in (Mode.FAULT, Mode.LOST):
            why = self.stopped or self.reason
            raise BusError(f"nothing can be started in mode {self.mode.value}: {why}")
        self._goals.hold()
        self._routine, self.mode, self.reason = routine, Mode.ROUTINE, ""

    def aim(self, targets: Mapping[str, float]) -> None:
        """Sets goals of joints [rad], as routines do; the object's joint too."""
        self._goals.aim(targets)

    def torque(self, joints: Iterable[str], on: bool) -> None:
        """Switches torque of joints; those that get it hold where they stand. Raises as `MotorLink.torque_on`."""
        names = list(joints)
        if not on:
            self.link.torque_off(names)
            self._goals.forget(names)
            return
        self._goals.begin_at(self.link.torque_on(name for name in names if name not in self.powered))

    @property
    def powered(self) -> set[str]:
        """Joints whose motors have torque."""
        return self.link.powered

    def angle(self, joint: str) -> float:
        """Latest angle of a joint [rad]."""
        return self.link.angle(joint)

    def reboot_failed(self) -> list[int]:
        """Restarts the motors that report an error, on a person's request; gives their addresses.

        Fingers lose torque for a moment; afterwards everything is prepared anew and held.

        Raises:
            BusError: If a motor does not come back.
        """
        failed = [joint for joint, reading in self.link.latest.items() if reading.errors]
        self.link.torque_off(self.link.joints)
        for joint in failed:
            self.link.bus.reboot(self.link.bus_id(joint))
        self._port.sleep(REBOOT_S if failed else 0.0)
        self.link.check()
        self.link.prepare()
        self._goals.forget()
        self._routine, self.mode, self.reason = None, Mode.OFF, "motors were restarted; torque is off"
        return [self.link.bus_id(joint) for joint in failed]

    def cycle(self) -> RobotState | None:
        """One cycle: goals out, states in. Gives the state if every motor was understood, else None."""
        if self.mode is Mode.LOST:
            self._find_again()
            return None
        try:
            self._step_routine()
            self.link.write_goals(self._goals.ticks())
            complete = self.link.read()
        except DisconnectedError as error:
            self._reopen = True
            self._lose(str(error), self.clock())
            return None
        now_s = self.clock()
        if complete:
            self.state = read_state(self.robot, self.link, now_s)
        self._look_after(now_s)
        return self.state if complete else None

    def _step_routine(self) -> None:
        if self._routine is None:
            return
        try:
            next(self._routine)
        except StopIteration:
            self._routine = None
            self.mode = Mode.HOLD if self.powered & set(self.robot.joint_names) else Mode.OFF
        except DisconnectedError:
            raise
        except PitayaError as error:
            self.hold(str(error))

    def _look_after(self, now_s: float) -> None:
        verdict = conclude(self.link.evidence(now_s), self.robot.watchdogs.bus_silence_s)
        hot = self._too_hot(now_s)
        if verdict.severity is Severity.LOST:
            self._lose(verdict.reason, now_s)
        elif verdict.severity is Severity.FAULT:
            self._stop(Mode.FAULT, verdict.reason)
        elif self.mode is Mode.FOLLOW:
            silent_s = now_s - self._command_s
            if hot:
                self._stop(Mode.HOLD, f"motors must cool: {hot}")
            elif silent_s > self.robot.watchdogs.command_silence_s:
                self._stop(Mode.HOLD, f"no command for {silent_s:.2f} s")

    def _too_hot(self, now_s: float) -> str:
        """What is too hot, or an empty text."""
        if self.heat is None:
            return ""
        self.heat.update(now_s, self.link.temperatures_c(), self.link.currents_a())
        return self.heat.reason if self.heat.share == 0.0 else ""

    def _stop(self, mode: Mode, reason: str) -> None:
        """Holds at the measured position, once."""
        if self.mode is not mode:
            self.holds += self.mode is Mode.FOLLOW
            self._routine = None
            self._goals.hold()
        self.mode, self.reason = mode, reason

    def _lose(self, reason: str, now_s: float) -> None:
        self.holds += self.mode is Mode.FOLLOW
        self._routine = None
        # Whatever was wanted before belongs to the past: what comes back holds where it then stands.
        self._goals.forget()
        self._fault = self.reason if self.mode is Mode.FAULT else ""
        self.mode, self.reason, self._retry_s = Mode.LOST, reason, now_s

    def _find_again(self) -> None:
        # Whoever stopped the robot may have cut its power too: what comes back stays limp until that person says so.
        if self.stopped or self.clock() < self._retry_s:
            return
        try:
            if self._reopen:
                self.link.bus.close()
                self.link.bus.open()
                self._reopen = False
            goals = self.link.recover()
        except BusError as error:
            self._reopen = self._reopen or isinstance(error, DisconnectedError)
            self._retry_s = self.clock() + RECONNECT_S
            self.missing = str(error)
            return
        self._goals.begin_at(goals)
        self.mode = Mode.FAULT if self._fault else Mode.HOLD if self.powered else Mode.OFF
        self.reason = self._fault or f"found again after: {self.reason}"
