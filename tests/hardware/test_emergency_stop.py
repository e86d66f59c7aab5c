# SPDX-License-Identifier: Apache-2.0
"""An emergency stop of the driver on the emulated bus, in virtual time, amid what the hand does by itself."""

from __future__ import annotations

import numpy as np
import pytest

from meta_rl_core.dynamixel.mode import Mode
from meta_rl_core.dynamixel.port import BusError, DisconnectedError
from meta_rl_core.dynamixel.routines import reset, to_start
from meta_rl_core.runtime.robot_description import RobotDescription
from sim_bridge.dynamixel.faults import Fault
from tests.hardware.virtual import PERIOD_S, VirtualRobot

VALVE = 50
TICK_RAD = 2.0 * np.pi / 4096
STOP = "emergency stop on topic /emergency_stop"


@pytest.fixture
def hand(robot: RobotDescription) -> VirtualRobot:
    return VirtualRobot(robot).ready()


def registers(hand: VirtualRobot, name: str) -> dict[int, int]:
    return {motor.bus_id: motor.table[name] for motor in hand.emulation.chain.motors}


def begin_reset(hand: VirtualRobot, duration_s: float) -> None:
    """The valve is to be turned by two thirds of a turn, which takes six seconds and more."""
    hand.driver.start(reset(hand.driver, -1.0))
    hand.run(duration_s)
    assert hand.driver.mode is Mode.ROUTINE


@pytest.mark.parametrize("after_s", [0.02, 0.3, 1.1, 2.0, 3.0])
def test_a_stop_in_mid_reset_holds_by_the_next_packet_and_nothing_with_torque_moves_after_it(
    robot: RobotDescription, after_s: float
) -> None:
    hand = VirtualRobot(robot)
    hand.emulation.hand.place("valve_joint", 3.0)
    hand.ready()
    begin_reset(hand, after_s)
    torque = registers(hand, "torque_enable")
    measured = {hand.driver.link.bus_id(joint): hand.driver.angle(joint) for joint in hand.driver.powered}
    requests, begin_s = hand.driver.link.bus.traffic.requests, hand.port.now_s
    hand.driver.stop(STOP)
    # One packet of goals, far shorter than a cycle: nobody has to wait for the next one.
    assert hand.driver.link.bus.traffic.requests == requests + 1
    assert hand.port.now_s - begin_s < 0.1 * PERIOD_S
    held = registers(hand, "goal_position")
    for bus_id, angle_rad in measured.items():
        motor = next(item for item in robot.motors().values() if item.id == bus_id)
        assert (held[bus_id] - motor.zero_tick) * TICK_RAD == pytest.approx(angle_rad, abs=TICK_RAD)
    stopped = registers(hand, "present_position")
    hand.run(0.3)  # a gain of 116 lets a finger sag by about 0.03 rad below its goal
    before = registers(hand, "present_position")
    hand.run(2.0)
    assert (hand.driver.mode, hand.driver.reason, hand.driver.stopped) == (Mode.HOLD, STOP, STOP)
    assert registers(hand, "goal_position") == held
    assert registers(hand, "torque_enable") == torque
    after = registers(hand, "present_position")
    assert max(abs(after[bus_id] - stopped[bus_id]) for bus_id in measured) * TICK_RAD < 0.04
    assert max(abs(after[bus_id] - before[bus_id]) for bus_id in measured) * TICK_RAD < 0.005


def test_what_is_stopped_takes_nothing_and_says_why_until_a_person_lets_it_go_on(
    hand: VirtualRobot, robot: RobotDescription
) -> None:
    hand.follow(0.3)
    hand.driver.stop(STOP)
    pose = robot.start_rad + 0.1
    for refused in (
        lambda: hand.driver.command(pose),
        lambda: hand.driver.start(to_start(hand.driver)),
        lambda: hand.driver.start(reset(hand.driver, 0.0)),
    ):
        with pytest.raises(BusError, match=STOP):
            refused()
    hand.driver.off()  # a person may still take the torque, and that is no end of the stop
    with pytest.raises(BusError, match=STOP):
        hand.driver.start(to_start(hand.driver))
    hand.driver.clear_stop()
    hand.run(0.5)
    assert (hand.driver.mode, sum(registers(hand, "torque_enable").values())) == (Mode.OFF, 0)
    hand.driver.start(reset(hand.driver, 0.0))
    hand.until(lambda: hand.driver.mode is not Mode.ROUTINE)
    assert (hand.driver.mode, hand.driver.reason) == (Mode.HOLD, "")
    hand.driver.command(pose)
    assert hand.driver.mode is Mode.FOLLOW


def test_a_reset_works_again_after_one_that_was_stopped(hand: VirtualRobot, robot: RobotDescription) -> None:
    begin_reset(hand, 0.5)
    hand.driver.stop(STOP)
    hand.run(0.5)
    goals = registers(hand, "goal_position")
    hand.driver.clear_stop()
    hand.run(0.5)
    # Clearing moves nothing by itself, and says so.
    assert registers(hand, "goal_position") == goals
    assert (hand.driver.mode, hand.driver.stopped) == (Mode.HOLD, "")
    assert "a person has ended an emergency stop" in hand.driver.reason
    hand.driver.start(reset(hand.driver, -1.0))
    hand.until(lambda: hand.driver.mode is not Mode.ROUTINE)
    assert (hand.driver.mode, hand.driver.reason) == (Mode.HOLD, "")
    assert hand.driver.state is not None
    assert hand.driver.state.position[9] == pytest.approx(-1.0, abs=np.radians(5.1))


def test_motors_whose_power_was_cut_while_stopped_stay_limp_until_a_person_lets_it_go_on(
    hand: VirtualRobot,
) -> None:
    hand.driver.stop(STOP)
    hand.emulation.faults.add(Fault("power", 0.0, hand.port.now_s + 0.5))
    hand.run(3.0)
    assert hand.driver.mode is Mode.LOST
    assert sum(registers(hand, "torque_enable").values()) == 0
    hand.driver.clear_stop()
    hand.until(lambda: hand.driver.mode is Mode.HOLD, 2.0)
    assert sum(registers(hand, "torque_enable").values()) == 9
    goals, present = registers(hand, "goal_position"), registers(hand, "present_position")
    fingers = [bus_id for bus_id in goals if bus_id != VALVE]
    assert max(abs(goals[bus_id] - present[bus_id]) for bus_id in fingers) * TICK_RAD <= 0.05


def test_a_stop_with_the_cable_pulled_out_stops_what_would_follow(
    hand: VirtualRobot, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_reset(hand, 0.3)

    def gone(_: object) -> int:
        raise DisconnectedError("the port is gone")

    with monkeypatch.context() as pulled:
        pulled.setattr(hand.port, "writePort", gone)
        hand.driver.stop(STOP)
        hand.cycle()
    assert hand.driver.mode is Mode.LOST
    with pytest.raises(BusError, match=STOP):
        hand.driver.start(reset(hand.driver, 0.0))
    hand.driver.clear_stop()
    hand.until(lambda: hand.driver.mode is Mode.HOLD, 2.0)
    hand.driver.start(reset(hand.driver, 0.0))
