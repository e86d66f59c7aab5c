# SPDX-License-Identifier: Apache-2.0
"""A robot's motors by joint name: checked, prepared, switched on without a jump, read and written once per cycle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from meta_rl_core.dynamixel.block import (
    ADDRESS_SLOTS,
    DATA_ADDRESS,
    LENGTH,
    Expectation,
    Judgement,
    MotorReading,
    indirect_addresses,
)
from meta_rl_core.dynamixel.bus import MotorBus
from meta_rl_core.dynamixel.control_table import MODELS, TICKS_PER_TURN, WATCHDOG_UNIT_S, Model
from meta_rl_core.dynamixel.freshness import MotorClock
from meta_rl_core.dynamixel.port import BusError, DisconnectedError
from meta_rl_core.dynamixel.scan import explain_silence, scan
from meta_rl_core.dynamixel.settings import joint_angle, kept_settings, start_settings
from meta_rl_core.dynamixel.watch import Evidence
from meta_rl_core.runtime.robot_description import RobotDescription

_MOST_NAMED = 3
_WATCHDOG_SHARE = 8.0
"""A cycle asks twice at most, so the motors hear something four times before their watchdogs trip."""
_FARTHEST_START_TICKS = 32
"""0.05 rad: how far a motor may be moved by switching it on."""


class MotorLink:
    """The motors of one robot on one bus.

    Attributes:
        robot: The robot.
        bus: The bus.
        powered: Joints whose motors should have torque.
        latest: Latest sound reading of each joint.
        heard_s: When that was [s].
        forgotten: Joints whose motors have lost their RAM.
        corrupt: Answers with a good checksum that could not be true.
        late: Answers that tell of a time longer ago than a state may be old.
        models: Model found at each joint.
        motors: Description of each joint's motor.
    """

    def __init__(
        self, robot: RobotDescription, bus: MotorBus, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Uses a bus; opens and changes nothing.

        Args:
            robot: Its description.
            bus: The bus its motors are on.
            clock: Steady clock [s].

        Raises:
            InvalidValueError: If the robot has no Dynamixel bus.
        """
        self.robot, self.bus, self._clock = robot, bus, clock
        self.motors = robot.motors()
        self._joint_of = {motor.id: joint for joint, motor in self.motors.items()}
        self._order = list(self._joint_of)
        self._expected = {joint: Expectation() for joint in self.motors}
        self._clocks = {joint: MotorClock() for joint in self.motors}
        self._kept = kept_settings(robot)
        self._armed = round(robot.watchdogs.servo_s / WATCHDOG_UNIT_S)
        self.powered: set[str] = set()
        self.latest: dict[str, MotorReading] = {}
        self.heard_s: dict[str, float] = {}
        self.forgotten: set[str] = set()
        self.corrupt = self.late = 0
        self.models: dict[str, Model] = {}

    @property
    def joints(self) -> tuple[str, ...]:
        """Every joint with a motor."""
        return tuple(self.motors)

    def bus_id(self, joint: str) -> int:
        """Address of a joint's motor."""
        return self.motors[joint].id

    def angle(self, joint: str) -> float:
        """Latest angle of a joint [rad]."""
        return joint_angle(self.latest[joint].position, self.motors[joint])

    def temperatures_c(self) -> dict[str, float]:
        """Latest temperature of each motor [degrees C], by joint."""
        return {joint: float(reading.temperature_c) for joint, reading in self.latest.items()}

    def currents_a(self) -> dict[str, float]:
        """Latest current of each motor [A], by joint."""
        return {
            joint: reading.current * self.models[joint].current_unit_a
            for joint, reading in self.latest.items()
        }

    def check(self) -> tuple[str, ...]:
        """Compares the motors with the description, changing nothing; gives harmless differences.

        Raises:
            BusError: If something differs with which the robot must not move; names it and what to do.
        """
        seen = scan(self.bus, self.robot)
        blocking = list(seen.blocking)
        if [finding.kind for finding in blocking] == ["no_motor"]:
            blocking = [explain_silence(self.bus, self.robot)]
        if blocking:
            rest = len(blocking) - _MOST_NAMED
            more = f"; and {rest} more, see `pitaya doctor`" if rest > 0 else ""
            raise BusError("; ".join(finding.message for finding in blocking[:_MOST_NAMED]) + more)
        self.models = {joint: MODELS[pong.model_number] for joint, pong in seen.motors.items()}
        return tuple(finding.message for finding in seen.findings)

    def prepare(self) -> None:
        """Sets what motors forget without power: gains, profile, the block; disarms watchdogs. Leaves torque alone."""
        for joint, motor in self.motors.items():
            self.bus.write(motor.id, "bus_watchdog", 0)
            for name, value in start_settings(motor).items():
                self.bus.write(motor.id, name, value)
            self.bus.write_bytes(motor.id, ADDRESS_SLOTS, indirect_addresses(), "the block of a cycle")
            self._expected[joint], self._clocks[joint] = Expectation(), MotorClock()
            self.heard_s[joint] = self._clock()
        self.forgotten.clear()

    def torque_on(self, joints: Iterable[str]) -> dict[str, int]:
        """Gives motors torque where they stand: the goal is set to the present position first.

        Returns:
            The goal of each motor [ticks].

        Raises:
            BusError: If a motor refuses or stands outside its limits.
        """
        goals = {}
        for joint in joints:
            bus_id = self.bus_id(joint)
            self.bus.write(bus_id, "bus_watchdog", 0)
            # Torque folds the position into one turn, so the goal is the reading within one turn.
            present = self.bus.read(bus_id, "present_position") % TICKS_PER_TURN
            goals[joint] = goal = self.within_limits(joint, present)
            if abs(goal - present) > _FARTHEST_START_TICKS:
                angle = joint_angle(present, self.motors[joint])
                raise BusError(
                    f"{joint} stands at {angle:.3f} rad, outside its limits; turn it inside by hand"
                )
            self.bus.write(bus_id, "goal_position", goal)
            self.bus.write(bus_id, "torque_enable", 1)
            if self.bus.read(bus_id, "torque_enable") != 1:
                raise BusError(f"{joint}: motor {bus_id} does not take torque; it may need a reboot")
            self.powered.add(joint)
            if joint in self.latest:
                # Whole turns are gone: nobody may aim from the position of before.
                self.latest[joint] = self.latest[joint]._replace(position=present)
            self._expected[joint] = Expectation(goals=(goal,), watchdogs=(0, self._armed))
        self.arm()
        return goals

    def within_limits(self, joint: str, tick: int) -> int:
        """The nearest position that the motor's own limits allow; it drops goals beyond them without a word."""
        limits = self._kept[joint]
        return min(max(tick, limits["min_position_limit"]), limits["max_position_limit"])

    def recover(self) -> dict[str, int]:
        """After a loss: checks and prepares all motors anew, and gives torque to those that had it, where they stand.

        Returns:
            The goal of each motor with torque [ticks].

        Raises:
            BusError: If they are not there yet, or others than before.
        """
        if self.bus.ping(self._order[0], tries=1) is None:
            raise BusError(f"no answer from motor {self._order[0]}")
        had = [joint for joint in self.motors if joint in self.powered]
        self.check()
        self.prepare()
        self.powered.clear()
        return self.torque_on(had)

    def torque_off(self, joints: Iterable[str], acknowledged: bool = True) -> None:
        """Takes torque from motors: from all at once, then one by one, even if one does not answer.

        Args:
            joints: Whose motors.
            acknowledged: Whether to wait for their answers.

        Raises:
            BusError: If one did not answer, after all were tried.
        """
        failed: list[str] = []
        names = list(joints)
        self.bus.write_many("torque_enable", {self.bus_id(joint): 0 for joint in names})
        for joint in names if acknowledged else []:
            self.powered.discard(joint)
            self._expected[joint] = Expectation(watchdogs=(0, self._armed))
            try:
                self.bus.write(self.bus_id(joint), "torque_enable", 0)
            except DisconnectedError:
                raise
            except BusError as error:
                failed.append(str(error))
        if failed:
            raise BusError("; ".join(failed))

    def arm(self) -> None:
        """Arms the bus watchdogs of all motors with torque."""
        if self.powered:
            self.bus.write_many("bus_watchdog", {self.bus_id(joint): self._armed for joint in self.powered})

    def write_goals(self, ticks: Mapping[str, int]) -> None:
        """Sends goals to motors with torque, one packet for all."""
        sent = {joint: tick for joint, tick in ticks.items() if joint in self.powered}
        if not sent:
            return
        self.bus.write_many("goal_position", {self.bus_id(joint): tick for joint, tick in sent.items()})
        for joint, tick in sent.items():
            expected = self._expected[joint]
            if expected.goals[-1:] != (tick,):
                expected.goals = (*expected.goals[-1:], tick)

    def read(self) -> bool:
        """Reads all motors, those that were not understood once more; whether all of them were.

        Raises:
            DisconnectedError: If the port is gone.
        """
        missing = self._read(self._order)
        if missing:
            # Motors answer in turn, so a silent one silences those after it: it goes last from now on.
            self._order = [bus_id for bus_id in self._order if bus_id != missing[0]] + [missing[0]]
            missing = self._read([*missing[1:], missing[0]])
        return not missing

    def _read(self, bus_ids: list[int]) -> list[int]:
        """One sync read; gives the motors that were not understood, in order."""
        patience_s = self.robot.watchdogs.servo_s / _WATCHDOG_SHARE
        answers = self.bus.read_many(bus_ids, DATA_ADDRESS, LENGTH, patience_s)
        now_s = self._clock()
        for bus_id, data in answers.items():
            joint = self._joint_of[bus_id]
            expected = self._expected[joint]
            judgement, reading = expected.judge(data, now_s)
            if judgement is Judgement.FORGOTTEN:
                self.forgotten.add(joint)
            elif reading is None:
                self.corrupt += 1
            elif self._clocks[joint].late_s(reading.tick, now_s) > self.robot.watchdogs.state_age_s:
                self.late += 1
            else:
                self._clocks[joint].take(reading.tick, now_s)
                expected.position, expected.position_s = reading.position, now_s
                self.latest[joint], self.heard_s[joint] = reading, now_s
        return [bus_id for bus_id in bus_ids if self.heard_s.get(self._joint_of[bus_id]) != now_s]

    def evidence(self, now_s: float) -> Evidence:
        """What is known of the motors now."""
        return Evidence(
            bus_ids={joint: motor.id for joint, motor in self.motors.items()},
            readings=self.latest,
            silent_s={joint: now_s - heard_s for joint, heard_s in self.heard_s.items()},
            powered=self.powered,
            forgotten=self.forgotten,
        )
