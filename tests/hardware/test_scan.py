# SPDX-License-Identifier: Apache-2.0
"""A scan of the bus names what differs from the robot's description, and changes nothing."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from meta_rl_core.dynamixel.bus import MotorBus, RefusedWriteError, SilentMotorError
from meta_rl_core.dynamixel.control_table import REGISTERS
from meta_rl_core.dynamixel.port import BusError, DisconnectedError, SteadyPort
from meta_rl_core.dynamixel.scan import explain_silence, scan
from meta_rl_core.runtime.robot_description import RobotDescription
from sim_bridge.dynamixel.emulation import Oddity, Scenario
from sim_bridge.dynamixel.faults import Fault
from tests.hardware.conftest import Emulate


@contextmanager
def opened(path: str, rate: int = 1_000_000) -> Iterator[MotorBus]:
    bus = MotorBus(SteadyPort(path, rate))
    bus.open()
    yield bus
    bus.close()


def test_a_well_kept_robot_has_no_finding_and_is_left_as_it_was(
    emulate: Emulate, robot: RobotDescription
) -> None:
    port = emulate()
    writable = [name for name, register in REGISTERS.items() if register.writable]
    before = [{name: motor.table[name] for name in writable} for motor in port.emulation.chain.motors]
    with opened(port.path) as bus:
        seen = scan(bus, robot)
    assert seen.findings == ()
    assert {joint: pong.bus_id for joint, pong in seen.motors.items()} == {
        joint: motor.id for joint, motor in robot.motors().items()
    }
    assert before == [{name: motor.table[name] for name in writable} for motor in port.emulation.chain.motors]


@pytest.mark.parametrize(
    ("oddity", "kind", "blocks", "said"),
    [
        (Oddity(missing=True), "missing", True, "mf_joint0: no motor answers at id 20; check its plug"),
        (Oddity(twice=True), "duplicate", True, "at id 20 cannot be read: do two motors have this id"),
        (Oddity(model="XH430-V210"), "other_model", True, "motor 20 is an XH430-V210, the description says XM430"),
        (Oddity(firmware=37), "old_firmware", True, "firmware 37, which is older than 38 and has no bus watchdog"),
        (Oddity(settings={"model_number": 1060}), "unknown_model", True, "motor 20 is of unknown model 1060"),
        (Oddity(settings={"operating_mode": 4}), "setting", True, "operating_mode of motor 20 is 4, must be 3"),
        (Oddity(settings={"homing_offset": -9}), "setting", True, "homing_offset of motor 20 is -9, must be 0"),
        (Oddity(settings={"shutdown": 0}), "setting", True, "shutdown of motor 20 is 0, must be 52"),
        (
            Oddity(settings={"return_delay_time": 250}),
            "setting",
            False,
            r"return_delay_time of motor 20 is 250 \(500 us\), must be 0 \(0 us\)",
        ),
        (Oddity(settings={"max_position_limit": 4095}), "setting", True, "is 4095, must be 1393"),
    ],
)  # fmt: skip
def test_one_odd_motor_is_one_finding(
    emulate: Emulate, robot: RobotDescription, oddity: Oddity, kind: str, blocks: bool, said: str
) -> None:
    with opened(emulate(Scenario(motors={20: oddity})).path) as bus:
        (finding,) = scan(bus, robot).findings
    assert (finding.kind, finding.bus_id, finding.joint, finding.blocks) == (kind, 20, "mf_joint0", blocks)
    assert re.search(said, finding.message)


def test_hardware_errors_are_named_by_bit(emulate: Emulate, robot: RobotDescription) -> None:
    with opened(emulate(Scenario(faults=(Fault("errors", bus_id=31, value=0b100100),))).path) as bus:
        (finding,) = scan(bus, robot).findings
    assert "motor 31 reports hardware error bit 2 overheating, bit 5 overload" in finding.message


def test_silence_is_explained_by_power_or_by_another_baud_rate(
    emulate: Emulate, robot: RobotDescription
) -> None:
    slow = {motor.id: Oddity(settings={"baud_rate": 1}) for motor in robot.motors().values()}
    with opened(emulate(Scenario(motors=slow)).path) as bus:
        assert [finding.kind for finding in scan(bus, robot).findings] == ["no_motor"]
        finding = explain_silence(bus, robot)
    assert finding.kind == "other_baud_rate"
    assert "answer at 57600 baud, robot dclaw asks for 1000000" in finding.message


def test_the_port_that_cannot_be_opened_is_explained(emulate: Emulate, tmp_path: Path) -> None:
    with pytest.raises(BusError, match="serial port /dev/ttyNone is missing; plug the adapter in"):
        SteadyPort("/dev/ttyNone", 1_000_000).open()
    (tmp_path / "file").write_text("x")
    with pytest.raises(BusError, match="is no serial port"):
        SteadyPort(str(tmp_path / "file"), 1_000_000).open()
    port = emulate()
    with opened(port.path), pytest.raises(BusError, match="is in use by another program; end it"):
        SteadyPort(port.path, 1_000_000).open()


@pytest.mark.skipif(os.getuid() == 0, reason="the superuser may open everything")
def test_a_port_without_permission_is_explained(emulate: Emulate) -> None:
    port = emulate()
    os.chmod(port.path, 0)
    with pytest.raises(BusError, match="add yourself to its group: sudo usermod -aG dialout"):
        SteadyPort(port.path, 1_000_000).open()


def test_refusals_and_silence_name_motor_and_register(emulate: Emulate) -> None:
    with opened(emulate().path) as bus:
        bus.write(10, "goal_position", 1100)
        bus.write(10, "torque_enable", 1)
        with pytest.raises(RefusedWriteError, match="motor 10 refuses operating_mode = 4: access error"):
            bus.write(10, "operating_mode", 4)
        with pytest.raises(
            RefusedWriteError, match="motor 10 refuses goal_position = 4000: data limit error"
        ):
            bus.write(10, "goal_position", 4000)
        with pytest.raises(SilentMotorError, match=r"motor 13 on .* does not answer a read of 132"):
            bus.read(13, "present_position")


def test_a_pulled_cable_is_one_kind_of_error(emulate: Emulate) -> None:
    port = emulate()
    with opened(port.path) as bus:
        port.emulation.faults.add(Fault("eio"))
        with pytest.raises(DisconnectedError, match=r"is gone: .*; is the cable plugged in"):
            for _ in range(1000):
                bus.read_many([10, 11], 132, 4)
