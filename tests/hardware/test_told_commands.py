# SPDX-License-Identifier: Apache-2.0
"""What the driver tells of the commands that it carries out."""

import pytest

from meta_rl_core.dynamixel.mode import Mode
from meta_rl_core.dynamixel.port import DisconnectedError
from meta_rl_core.runtime.robot_description import RobotDescription
from tests.hardware.virtual import VirtualRobot


@pytest.fixture
def hand(robot: RobotDescription) -> VirtualRobot:
    return VirtualRobot(robot).ready()


def test_a_command_that_no_motor_got_is_not_told_as_carried_out(
    hand: VirtualRobot, robot: RobotDescription, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hand.driver.command(robot.start_rad).tolist() == pytest.approx(robot.start_rad.tolist())

    def gone(_: object) -> int:
        raise DisconnectedError("the port is gone")

    monkeypatch.setattr(hand.port, "writePort", gone)
    with pytest.raises(DisconnectedError):
        hand.driver.command(robot.start_rad)
    hand.cycle()
    assert hand.driver.mode is Mode.LOST
