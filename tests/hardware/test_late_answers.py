# SPDX-License-Identifier: Apache-2.0
"""An answer that comes after its time is never taken for the answer of another request."""

from collections.abc import Sequence

import numpy as np
import pytest

from meta_rl_core.dynamixel.bus import MotorBus, SilentMotorError
from meta_rl_core.dynamixel.control_table import Instruction
from meta_rl_core.dynamixel.packet import make_packet
from meta_rl_core.runtime.robot_description import RobotDescription
from sim_bridge.dynamixel.emulation import Emulation, Scenario
from sim_bridge.dynamixel.faults import Fault
from sim_bridge.dynamixel.virtual_port import VirtualPort
from tests.hardware.virtual import VirtualRobot

NAMES = ("torque_enable", "led", "position_p_gain", "return_delay_time", "model_number", "shutdown")


@pytest.mark.parametrize("delay_s", [0.003, 0.02, 0.1])
def test_one_late_answer_in_five_makes_no_wrong_value(robot: RobotDescription, delay_s: float) -> None:
    """The virtual port waits 2 ms beyond the wire's time, so each of these comes too late."""
    emulation = Emulation(robot, Scenario(faults=(Fault("delay", probability=0.2, value=delay_s),)), seed=1)
    bus = MotorBus(VirtualPort(emulation))
    bus.open()
    random = np.random.Generator(np.random.PCG64(0))
    unanswered, wrong = 0, []
    for _ in range(400):
        motor = emulation.chain.motors[int(random.integers(10))]
        name = NAMES[int(random.integers(len(NAMES)))]
        try:
            if random.random() < 0.5:
                bus.write(motor.bus_id, "led", int(random.integers(2)))
            elif (value := bus.read(motor.bus_id, name)) != motor.table[name]:
                wrong.append((name, value, motor.table[name]))
        except SilentMotorError:
            unanswered += 1
    assert wrong == []
    # Three tries that all come late are one case in 125: 3.2 of 400.
    assert unanswered <= 12
    assert bus.traffic.lost > 50


class BusyPort(VirtualPort):
    """Somebody else writes the LED of motor 11 just before every packet, and leaves the answer unread."""

    def writePort(self, packet: Sequence[int]) -> int:
        led_on = make_packet(11, bytes([Instruction.WRITE, 65, 0, 1]))
        super().writePort(led_on)
        return super().writePort(packet)


def test_the_status_of_another_instruction_is_passed_over_for_the_value_behind_it(
    robot: RobotDescription,
) -> None:
    bus = MotorBus(BusyPort(Emulation(robot)))
    bus.open()
    assert bus.read(11, "led") == 1
    assert bus.read(11, "model_number") == 1030
    assert bus.traffic.lost == bus.traffic.corrupt == 0


def test_no_state_is_older_than_states_may_be_though_answers_are_held_up(robot: RobotDescription) -> None:
    hand = VirtualRobot(robot).ready()
    link = hand.driver.link
    hand.emulation.faults.add(Fault("delay", probability=0.01, value=0.03))
    oldest_ms = 0.0
    for _ in range(300):
        begin_s = hand.port.now_s
        state = hand.driver.cycle()
        if state is not None:
            # The motors' clocks show the emulation's milliseconds.
            age_ms = max(1e3 * state.time_s % 32_768 - reading.tick for reading in link.latest.values())
            oldest_ms = max(oldest_ms, age_ms)
        hand.port.sleep_until(begin_s + 0.01)
    assert link.late > 0
    # Drift is granted 2 %; the clock rounds to whole milliseconds, and a prompt answer takes 4 ms.
    assert oldest_ms < 1e3 * robot.watchdogs.state_age_s + 10.0
