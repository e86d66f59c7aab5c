# SPDX-License-Identifier: Apache-2.0
"""Whatever the driver was doing, closing it takes torque from every motor that hears."""

import pytest

from meta_rl_core.dynamixel.mode import Mode
from meta_rl_core.runtime.robot_description import RobotDescription
from sim_bridge.dynamixel.faults import Fault
from tests.hardware.virtual import VirtualRobot


@pytest.fixture
def hand(robot: RobotDescription) -> VirtualRobot:
    return VirtualRobot(robot).ready()


def torques(hand: VirtualRobot) -> list[int]:
    return [motor.table["torque_enable"] for motor in hand.emulation.chain.motors]


def test_closing_takes_torque_from_every_motor(hand: VirtualRobot) -> None:
    assert torques(hand) == [1] * 9 + [0]
    hand.driver.close()
    assert torques(hand) == [0] * 10


def test_it_does_though_an_interrupt_left_a_request_half_done(hand: VirtualRobot) -> None:
    # Ctrl-C in the middle of a request: the vendor's client takes the port to be in use for ever and sends nothing.
    hand.port.is_using = True
    hand.driver.close()
    assert torques(hand) == [0] * 10


def test_it_does_while_the_driver_still_looks_for_a_bus_that_is_back(hand: VirtualRobot) -> None:
    now_s = hand.port.now_s
    hand.emulation.faults.add(Fault("silent", now_s, now_s + 0.15))
    hand.until(lambda: hand.driver.mode is Mode.LOST)
    hand.port.sleep_until(now_s + 0.2)
    assert torques(hand) == [1] * 9 + [0]
    hand.driver.close()
    assert torques(hand) == [0] * 10
