# SPDX-License-Identifier: Apache-2.0
"""The driver on the emulated bus in virtual time: rows 19 to 21 of the faults that a hand must survive."""

from math import radians

import numpy as np
import pytest

from meta_rl_core.dynamixel.bus import MotorBus
from meta_rl_core.dynamixel.mode import Mode
from meta_rl_core.dynamixel.port import BusError
from meta_rl_core.dynamixel.routines import reset
from meta_rl_core.errors import InvalidValueError, NonFiniteError
from meta_rl_core.runtime.robot_description import RobotDescription
from sim_bridge.dynamixel.emulation import Oddity, Scenario
from sim_bridge.dynamixel.faults import Fault
from tests.hardware.virtual import PERIOD_S, VirtualRobot

FINGER_IDS = (10, 11, 12, 20, 21, 22, 30, 31, 32)


@pytest.fixture
def hand(robot: RobotDescription) -> VirtualRobot:
    return VirtualRobot(robot).ready()


def test_the_hand_takes_its_start_pose_slowly_and_then_follows(
    hand: VirtualRobot, robot: RobotDescription
) -> None:
    state = hand.driver.state
    assert state is not None
    np.testing.assert_allclose(state.position[:9], robot.start_rad, atol=radians(5))
    pose = robot.start_rad.copy()
    pose[1] = -0.6
    hand.run(1.5, lambda: hand.driver.command(pose))
    assert hand.driver.state is not None
    # A gain of 116 lets a finger sag by about 0.03 rad.
    assert hand.driver.state.position[1] == pytest.approx(-0.6, abs=0.06)
    assert hand.driver.mode is Mode.FOLLOW


def test_positions_speeds_and_torques_are_those_of_the_simulated_hand(
    hand: VirtualRobot, robot: RobotDescription
) -> None:
    hand.follow(0.4)
    state = hand.driver.state
    assert state is not None
    hand.emulation.advance_to(state.time_s)
    truth = [hand.emulation.hand.angle(name) for name in robot.measured_names]
    # Half a tick is 0.0008 rad; one cycle at 0.4 rad/s adds 0.004 rad.
    np.testing.assert_allclose(state.position, truth, atol=0.006)
    assert state.velocity[0] == pytest.approx(0.4 * np.cos(2.0 * state.time_s), abs=0.15)
    assert np.abs(state.effort).max() < 0.2


def test_units_are_those_of_the_model_found(robot: RobotDescription) -> None:
    other = Scenario(motors={11: Oddity(model="XH430-V210")})
    with pytest.raises(BusError, match="motor 11 is an XH430-V210, the description says XM430-W210"):
        VirtualRobot(robot, other).driver.connect()
    hand = VirtualRobot(robot).ready()
    assert {model.current_unit_a for model in hand.driver.link.models.values()} == {0.00269}


def test_one_cycle_is_one_write_and_one_read(hand: VirtualRobot) -> None:
    before = hand.driver.link.bus.traffic.requests
    hand.run(100 * PERIOD_S - 1e-6)
    assert hand.driver.link.bus.traffic.requests - before == 200


@pytest.mark.parametrize(
    ("command", "error"),
    [([0.0] * 8, InvalidValueError), ([0.0] * 10, InvalidValueError), ([float("nan")] * 9, NonFiniteError)],
)
def test_a_wrong_command_changes_nothing(
    hand: VirtualRobot, command: list[float], error: type[Exception]
) -> None:
    with pytest.raises(error):
        hand.driver.command(command)
    assert hand.driver.mode is Mode.HOLD


def test_commands_are_cut_to_the_limits_less_the_margin(hand: VirtualRobot, robot: RobotDescription) -> None:
    hand.run(1.0, lambda: hand.driver.command([-2.0, *robot.start_rad[1:]]))
    # -0.45 rad and 5 degrees are -0.3627 rad, -236.5 ticks from 1024.
    assert hand.emulation.chain.motor(10).table["goal_position"] == round(1024 - 0.36273 / 0.0015339808)


def test_a_command_is_written_at_once_and_not_only_with_the_next_cycle(hand: VirtualRobot) -> None:
    hand.driver.command([0.1, *hand.driver.robot.start_rad[1:]])
    # 0.1 rad are 65.2 ticks.
    assert hand.emulation.chain.motor(10).table["goal_position"] == 1024 + 65


def test_it_holds_when_commands_end(hand: VirtualRobot) -> None:
    hand.follow(0.5)
    assert hand.until(lambda: hand.driver.mode is Mode.HOLD) <= 0.52
    assert "no command for 0.5" in hand.driver.reason
    assert hand.driver.holds == 1


def test_without_torque_it_takes_no_command(robot: RobotDescription) -> None:
    hand = VirtualRobot(robot)
    hand.driver.connect()
    hand.run(0.1)
    with pytest.raises(BusError, match="takes no commands in mode off"):
        hand.driver.command(robot.start_rad)


def test_five_percent_loss_costs_no_hold_and_no_state_for_100_ms(hand: VirtualRobot) -> None:
    hand.emulation.faults.add(Fault("drop", probability=0.05))
    hand.complete = hand.cycles = 0
    hand.follow(10.0)
    assert hand.driver.holds == 0
    assert hand.driver.mode is Mode.FOLLOW
    # A motor is lost twice in a row in 1 of 400 cases; 10 motors: 2.5 % of cycles.
    assert hand.complete / hand.cycles > 0.93


def test_a_dead_bus_is_a_hold_within_the_allowed_silence_and_old_goals_never_come_back(
    hand: VirtualRobot,
) -> None:
    hand.follow(0.5)
    hand.emulation.faults.add(Fault("silent", 0.0, hand.port.now_s + 0.8))
    took_s = hand.until(lambda: hand.driver.mode is not Mode.FOLLOW)
    assert took_s <= 0.2
    assert (hand.driver.mode, hand.driver.holds) == (Mode.LOST, 1)
    hand.run(0.1)
    # The motors' own watchdogs stopped them.
    assert hand.emulation.chain.motor(10).table["bus_watchdog"] == 255
    hand.until(lambda: hand.driver.mode is Mode.HOLD)
    goals = {
        m.bus_id: m.table["goal_position"] - m.table["present_position"] for m in hand.emulation.chain.motors
    }
    assert max(abs(goals[bus_id]) for bus_id in FINGER_IDS) * 0.0015339808 <= 0.05
    assert hand.emulation.chain.motor(10).table["bus_watchdog"] == 5
    hand.follow(0.5)
    assert hand.driver.mode is Mode.FOLLOW


def test_every_error_bit_of_every_finger_motor_holds_the_hand_and_is_named(hand: VirtualRobot) -> None:
    names = (
        "input voltage",
        "motor hall sensor",
        "overheating",
        "motor encoder",
        "electrical shock",
        "overload",
    )
    slowest_s = 0.0
    for bus_id in FINGER_IDS:
        for bit, name in enumerate(names):
            hand.emulation.chain.motor(bus_id).raise_errors(1 << bit)
            slowest_s = max(slowest_s, hand.until(lambda: hand.driver.mode is Mode.FAULT, 1.0))
            assert f"motor {bus_id} (" in hand.driver.reason
            assert f"bit {bit} {name}" in hand.driver.reason
            with pytest.raises(BusError, match="takes no commands in mode fault"):
                hand.driver.command(hand.driver.robot.start_rad)
            assert hand.driver.reboot_failed() == [bus_id]
            assert hand.driver.mode is Mode.OFF
            hand.driver.torque(hand.driver.robot.joint_names, True)
            hand.driver.hold()
            hand.cycle()
    assert slowest_s <= 0.2


def test_one_silent_motor_is_a_fault_that_names_it_and_the_others_are_still_heard(hand: VirtualRobot) -> None:
    hand.follow(0.3)
    hand.emulation.faults.add(Fault("silent", bus_id=21))
    assert hand.until(lambda: hand.driver.mode is Mode.FAULT) <= 0.2
    assert hand.driver.reason == "no answer from motor 21 (mf_joint1)"
    assert hand.driver.link.heard_s["valve_joint"] > hand.port.now_s - 0.05


def test_power_cycles_are_noticed_and_come_back_without_a_jump(hand: VirtualRobot) -> None:
    random = np.random.Generator(np.random.PCG64(0))
    worst_rad = slowest_s = 0.0
    for _ in range(10):
        hand.run(float(random.uniform(0.05, 0.3)))
        off_s = float(random.uniform(0.0, 1.0)) + 0.02
        hand.emulation.faults.add(Fault("power", 0.0, hand.port.now_s + off_s))
        slowest_s = max(slowest_s, hand.until(lambda: hand.driver.mode is Mode.LOST, 2.0) - off_s)
        hand.until(lambda: hand.driver.mode is Mode.HOLD)
        for bus_id in FINGER_IDS:
            table = hand.emulation.chain.motor(bus_id).table
            assert table["torque_enable"] == 1
            jump = abs(table["goal_position"] - table["present_position"]) * 0.0015339808
            worst_rad = max(worst_rad, jump)
        hand.emulation.faults.clear()
    assert slowest_s <= 0.5
    assert worst_rad <= 0.05


def test_heat_shortens_reach_then_holds_until_it_is_cool_again(
    hand: VirtualRobot, robot: RobotDescription
) -> None:
    hand.follow(0.2)
    # Half-way from 70 to 77 degrees: half the full reach.
    hand.emulation.faults.add(Fault("heat", bus_id=12, value=73.5))
    hand.run(0.1)
    assert hand.driver.heat is not None
    assert hand.driver.heat.share == pytest.approx(3.0 / 7.0, abs=0.08)
    hand.cycle()
    pose = robot.start_rad.copy()
    pose[0] = 0.48
    here_rad = hand.driver.angle(robot.joint_names[0])
    told = hand.driver.command(pose)
    assert told[0] - here_rad == pytest.approx(hand.driver.heat.share * 0.2094, abs=0.002)
    hand.cycle()
    table = hand.emulation.chain.motor(10).table
    reach = (table["goal_position"] - table["present_position"]) * 0.0015339808
    assert reach == pytest.approx(hand.driver.heat.share * 0.2094, abs=0.02)
    hand.emulation.faults.add(Fault("heat", bus_id=12, value=78.0))
    hand.until(lambda: hand.driver.mode is Mode.HOLD)
    assert "motors must cool: ff_joint2 is at 78 degrees C" in hand.driver.reason
    with pytest.raises(BusError, match="until motors have cooled"):
        hand.driver.command(pose)
    hand.emulation.faults.clear()
    hand.emulation.faults.add(Fault("heat", bus_id=12, value=72.0))
    hand.run(0.2)
    with pytest.raises(BusError, match="until motors have cooled"):
        hand.driver.command(pose)
    hand.emulation.faults.clear()
    hand.emulation.faults.add(Fault("heat", bus_id=12, value=40.0))
    hand.run(0.2)
    hand.driver.command(pose)


def test_the_reset_turns_the_valve_back_and_lets_it_go(robot: RobotDescription) -> None:
    hand = VirtualRobot(robot)
    hand.emulation.hand.place("valve_joint", 4.0)
    hand.ready()
    hand.driver.start(reset(hand.driver, -0.5))
    assert hand.until(lambda: hand.driver.mode is not Mode.ROUTINE) < 15.0
    assert (hand.driver.mode, hand.driver.reason) == (Mode.HOLD, "")
    state = hand.driver.state
    assert state is not None
    assert np.cos(state.position[9] + 0.5) > np.cos(radians(5))
    np.testing.assert_allclose(state.position[:9], hand.driver.robot.start_rad, atol=radians(5.1))
    assert "valve_joint" not in hand.driver.powered
    assert hand.emulation.chain.motor(50).table["torque_enable"] == 0


def test_a_valve_turned_nearly_once_around_goes_on_to_its_start_without_unwinding(
    robot: RobotDescription,
) -> None:
    hand = VirtualRobot(robot)
    hand.emulation.hand.place("valve_joint", 6.2)
    hand.ready()
    hand.driver.start(reset(hand.driver, 1.0))
    hand.until(lambda: hand.driver.mode is not Mode.ROUTINE, 30.0)
    assert (hand.driver.mode, hand.driver.reason) == (Mode.HOLD, "")
    # 1.0 rad lies 2 pi further on: a servo has no end stop.
    assert hand.emulation.hand.angle("valve_joint") == pytest.approx(1.0 + 2.0 * np.pi, abs=radians(5.1))


def test_a_hand_that_cannot_get_there_tries_three_times_more_and_asks_for_a_person(
    hand: VirtualRobot,
) -> None:
    # Full share of no voltage: the motor answers, takes goals and does not move.
    hand.emulation.chain.motor(22).table["goal_pwm"] = 0
    hand.emulation.hand.place("mf_joint2", 0.2)
    hand.driver.start(reset(hand.driver, 0.0))
    hand.until(lambda: hand.driver.mode is not Mode.ROUTINE, 120.0)
    assert (
        "did not reach its start pose in 4 tries (mf_joint2): free its fingers by hand" in hand.driver.reason
    )
    assert hand.driver.mode is Mode.HOLD


def test_a_valve_that_is_stuck_is_named(hand: VirtualRobot) -> None:
    hand.emulation.hand.place("valve_joint", 1.0)
    hand.emulation.chain.motor(50).table["position_p_gain"] = 0
    hand.driver.start(reset(hand.driver, -0.5))
    hand.until(lambda: hand.driver.mode is not Mode.ROUTINE, 30.0)
    assert "valve_joint stands at 1.00 rad and does not move to -0.50 rad" in hand.driver.reason


def test_a_motor_outside_its_limits_gets_no_torque(robot: RobotDescription) -> None:
    hand = VirtualRobot(robot)
    hand.driver.connect()
    hand.emulation.hand.place("ff_joint0", 0.9)
    hand.emulation.advance_to(hand.port.now_s + 0.005)
    hand.port.sleep(0.005)
    with pytest.raises(
        BusError, match=r"ff_joint0 stands at 0\.\d+ rad, outside its limits; turn it inside by hand"
    ):
        hand.driver.torque(["ff_joint0"], True)
    assert MotorBus(hand.port).read(10, "torque_enable") == 0
