# SPDX-License-Identifier: Apache-2.0
"""`pitaya doctor` names every planted fault of a bus, with a command that helps, and changes nothing unasked."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from meta_rl_core.dynamixel import checkup
from meta_rl_core.dynamixel.checkup import check_latency
from meta_rl_core.dynamixel.mending import mend
from meta_rl_core.dynamixel.port import BusError, SteadyPort
from meta_rl_core.runtime.checkup import Row
from meta_rl_core.runtime.robot_description import RobotDescription
from sim_bridge.dynamixel.emulation import Oddity, Scenario
from sim_bridge.dynamixel.faults import Fault
from tests.hardware.conftest import Emulate


def faults(rows: list[Row]) -> list[Row]:
    """What must be mended; how fast a loaded machine reads is not judged here."""
    return [row for row in rows if row.level != "ok" and row.subject not in ("cycle time", "bus errors")]


def check_bus(*arguments: Any, **options: Any) -> list[Row]:
    """As the command does, with patience for a loaded machine."""
    return checkup.check_bus(*arguments, **options, latency_s=0.06)


def all_motors(robot: RobotDescription, **oddity: object) -> dict[int, Oddity]:
    return {motor.id: Oddity(**oddity) for motor in robot.motors().values()}  # type: ignore[arg-type]


def test_a_well_kept_robot_is_all_ok_and_its_cycle_is_measured(
    emulate: Emulate, robot: RobotDescription
) -> None:
    rows = check_bus(emulate().path, robot, cycles=5)
    assert not faults(rows)
    told = {row.subject: row.found for row in rows}
    assert told["motors"].startswith("10 of 10 as described: ff_joint0")
    assert "torque off, watchdogs clear" in told["state"]
    # 10 motors: (14 + 10 + 10 x 21 + 14 + 10 x 2) bytes of 10 bits at 1 Mbit/s.
    assert "of which 2.7 ms on the wire; 10 ms are there" in told["cycle time"]
    assert "of 50 readings lost" in told["bus errors"]


@pytest.mark.parametrize(
    ("oddity", "subject", "said", "helps"),
    [
        (Oddity(missing=True), "missing", "mf_joint0: no motor answers at id 20", "check plug"),
        (Oddity(twice=True), "duplicate", "do two motors have this id", "DYNAMIXEL Wizard"),
        (Oddity(model="XH430-V210"), "other model", "is an XH430-V210", "dynamixel.model"),
        (Oddity(firmware=37), "old firmware", "older than 38", "update"),
        (Oddity(settings={"operating_mode": 4}), "operating_mode", "is 4, must be 3", "--fix"),
        (Oddity(settings={"homing_offset": -9}), "homing_offset", "is -9, must be 0", "--fix"),
        (Oddity(settings={"shutdown": 0}), "shutdown", "is 0, must be 52", "--fix"),
        (Oddity(settings={"return_delay_time": 250}), "return_delay_time", "500 us", "--fix"),
        (Oddity(settings={"max_position_limit": 4095}), "max_position_limit", "is 4095", "--fix"),
        (Oddity(settings={"temperature_limit": 100}), "temperature_limit", "is 100, must be 80", "--fix"),
    ],
)  # fmt: skip
def test_an_odd_motor_is_named_with_what_helps(
    emulate: Emulate, robot: RobotDescription, oddity: Oddity, subject: str, said: str, helps: str
) -> None:
    (row,) = faults(check_bus(emulate(Scenario(motors={20: oddity})).path, robot, 0, addresses=range(3)))
    assert row.subject == subject
    assert said in row.found
    assert helps in row.fix


def test_a_motor_that_answers_at_an_address_of_nobody_is_found(
    emulate: Emulate, robot: RobotDescription
) -> None:
    port = emulate()
    port.emulation.chain.motor(20).table["id"] = 1
    missing, stranger = faults(check_bus(port.path, robot, 0, addresses=range(3)))
    assert "no motor answers at id 20" in missing.found
    assert "a motor answers at id 1, which robot dclaw does not have" in stranger.found


def test_a_hardware_error_asks_for_a_reboot_by_a_person(emulate: Emulate, robot: RobotDescription) -> None:
    port = emulate(Scenario(faults=(Fault("errors", bus_id=31, value=0b100000),))).path
    (row,) = faults(check_bus(port, robot, cycles=0))
    assert "motor 31 reports hardware error bit 5 overload" in row.found
    assert row.fix == f"pitaya doctor --port {port} --reboot 31"


def test_another_baud_rate_and_no_power_are_told_apart(emulate: Emulate, robot: RobotDescription) -> None:
    slow = emulate(Scenario(motors=all_motors(robot, settings={"baud_rate": 1}))).path
    (row,) = faults(check_bus(slow, robot))
    assert "answer at 57600 baud" in row.found
    dark = emulate(Scenario(faults=(Fault("power"),))).path
    (row,) = faults(check_bus(dark, robot))
    assert "no motor answers" in row.found
    assert "switch the power on" in row.fix


def test_torque_heat_voltage_and_a_tripped_watchdog_are_seen(
    emulate: Emulate, robot: RobotDescription
) -> None:
    port = emulate()
    table = port.emulation.chain.motor(10).table
    with_torque = port.emulation.chain.motor(11).table
    with_torque["torque_enable"] = 1
    table["bus_watchdog"] = 255
    table["present_temperature"] = 75
    table["present_input_voltage"] = 90
    found = {row.subject: row.found for row in faults(check_bus(port.path, robot, cycles=0))}
    assert "on at ff_joint1" in found["torque"]
    assert "tripped at ff_joint0" in found["bus watchdog"]
    assert "9.0 to 12.0 V" in found["voltage"]


def test_lost_answers_are_counted(emulate: Emulate, robot: RobotDescription) -> None:
    port = emulate()
    port.emulation.faults.add(Fault("drop", bus_id=32, probability=0.1))
    rows = check_bus(port.path, robot, cycles=40)
    (row,) = [row for row in rows if row.subject == "bus errors"]
    assert row.level == "fix"
    assert "readings lost" in row.found


def test_a_slow_usb_adapter_is_named(robot: RobotDescription, tmp_path: Path) -> None:
    timer = tmp_path / "bus" / "usb-serial" / "devices" / "ttyUSB0" / "latency_timer"
    timer.parent.mkdir(parents=True)
    timer.write_text("16\n")
    row = check_latency("/dev/ttyUSB0", robot, tmp_path)
    assert (row.level, row.found) == ("fix", "16 ms, must be at most 1 ms")
    assert row.fix == f"echo 1 | sudo tee {timer}"
    timer.write_text("1\n")
    assert check_latency("/dev/ttyUSB0", robot, tmp_path).level == "ok"


def test_a_port_that_is_missing_or_busy_is_one_row(emulate: Emulate, robot: RobotDescription) -> None:
    (row,) = check_bus("/dev/ttyNone", robot)
    assert (row.subject, row.level) == ("port", "fix")
    assert "is missing" in row.found
    path = emulate().path
    holder = SteadyPort(path, 1_000_000)
    holder.open()
    try:
        (row,) = check_bus(path, robot)
    finally:
        holder.close()
    assert "in use by another program" in row.found


def test_looking_changes_nothing_and_fixing_changes_what_differs_alone(
    emulate: Emulate, robot: RobotDescription
) -> None:
    odd = {10: Oddity(settings={"return_delay_time": 250}), 22: Oddity(settings={"shutdown": 0})}
    port = emulate(Scenario(motors=odd))
    tables = [motor.table for motor in port.emulation.chain.motors]
    kept = ("return_delay_time", "shutdown", "goal_position", "torque_enable", "led", "bus_watchdog")
    before = [[table[name] for name in kept] for table in tables]
    assert len(faults(check_bus(port.path, robot, cycles=3))) == 2
    assert [[table[name] for name in kept] for table in tables] == before
    assert mend(port.path, robot) == [
        "return_delay_time of motor 10 (ff_joint0) is 0 now",
        "shutdown of motor 22 (mf_joint2) is 52 now",
    ]
    assert not faults(check_bus(port.path, robot, cycles=0))
    tables[0]["torque_enable"] = 1
    with pytest.raises(BusError, match="ff_joint0 have torque on: stop the driver first"):
        mend(port.path, robot)


def test_the_command_ends_in_a_table_and_a_status(emulate: Emulate, robot: RobotDescription) -> None:
    from pitaya_nodes.commands.doctor import doctor

    port = emulate(Scenario(motors={20: Oddity(settings={"return_delay_time": 250, "shutdown": 0})})).path
    runner = CliRunner(env={"COLUMNS": "200"})
    seen = runner.invoke(doctor, ["--port", port, "--cycles", "0"])
    assert seen.exit_code == 1
    assert "fix this" in seen.output
    assert "shutdown of motor 20 is 0, must be 52" in seen.output
    mended = runner.invoke(doctor, ["--port", port, "--cycles", "0", "--fix"])
    assert mended.exit_code == 0, mended.output
    assert "shutdown of motor 20 (mf_joint0) is 52 now" in mended.output
