# SPDX-License-Identifier: Apache-2.0
"""The emulated bus answers the vendor's SDK, unchanged, as the manual says real motors do."""

import time
from collections.abc import Iterator

import dynamixel_sdk as sdk
import pytest

from meta_rl_core.dynamixel.control_table import INDIRECT_BLOCKS, REGISTERS
from sim_bridge.dynamixel.emulation import Oddity, Scenario
from sim_bridge.dynamixel.faults import Fault
from sim_bridge.dynamixel.terminal import EmulatedPort
from tests.hardware.conftest import Emulate

OK, TIMEOUT, CORRUPT = sdk.COMM_SUCCESS, sdk.COMM_RX_TIMEOUT, sdk.COMM_RX_CORRUPT
IDS = [10, 11, 12, 20, 21, 22, 30, 31, 32, 50]
TORQUE, WATCHDOG, GOAL, POSITION, ERROR = 64, 98, 116, 132, 70
ALERT = 0x80
TRIES = 3
"""The SDK waits 34 ms for an answer; a loaded machine needs longer now and then."""


class Client:
    """The SDK on one port."""

    def __init__(self, path: str, rate: int = 1_000_000) -> None:
        self.port = sdk.PortHandler(path)
        self.port.baudrate = rate
        assert self.port.openPort()
        self.motors = sdk.Protocol2PacketHandler()

    def read(self, bus_id: int, name: str) -> int:
        register = REGISTERS[name]
        read = {1: self.motors.read1ByteTxRx, 2: self.motors.read2ByteTxRx, 4: self.motors.read4ByteTxRx}
        for _ in range(TRIES):
            value, result, error = read[register.size](self.port, bus_id, register.address)
            if result == OK:
                break
        assert (result, error & ~ALERT) == (OK, 0)
        top = 1 << 8 * register.size - 1
        return int(value) - 2 * top if register.signed and value >= top else int(value)

    def write(self, bus_id: int, name: str, value: int) -> int:
        """The error of the answer."""
        register = REGISTERS[name]
        write = {1: self.motors.write1ByteTxRx, 2: self.motors.write2ByteTxRx, 4: self.motors.write4ByteTxRx}
        for _ in range(TRIES):
            result, error = write[register.size](self.port, bus_id, register.address, value)
            if result == OK:
                break
        assert result == OK
        return int(error)

    def torque_on(self, bus_id: int) -> None:
        assert self.write(bus_id, "goal_position", self.read(bus_id, "present_position") % 4096) == 0
        assert self.write(bus_id, "torque_enable", 1) == 0


@pytest.fixture
def port(emulate: Emulate) -> EmulatedPort:
    return emulate()


@pytest.fixture
def client(port: EmulatedPort) -> Iterator[Client]:
    made = Client(port.path)
    yield made
    made.port.closePort()


def test_ping_finds_all_ten_with_model_and_firmware(client: Client) -> None:
    found, result = client.motors.broadcastPing(client.port)
    assert result == OK
    assert found == {bus_id: [1030, 45] for bus_id in IDS}
    assert client.motors.ping(client.port, 12) == (1030, OK, 0)
    assert client.motors.ping(client.port, 13)[1] == TIMEOUT


def test_the_eeprom_is_locked_while_torque_is_on_and_only_then(client: Client) -> None:
    assert client.write(10, "return_delay_time", 7) == 0
    client.torque_on(10)
    assert client.write(10, "return_delay_time", 0) == sdk.ERRNUM_ACCESS
    assert client.read(10, "return_delay_time") == 7
    assert client.write(10, "torque_enable", 0) == 0
    assert client.write(10, "return_delay_time", 0) == 0


def test_writes_are_refused_by_kind(client: Client) -> None:
    assert client.write(10, "present_position", 1) == sdk.ERRNUM_ACCESS
    assert client.write(10, "torque_enable", 2) == sdk.ERRNUM_DATA_RANGE
    assert client.motors.write2ByteTxRx(client.port, 10, GOAL, 1)[1] == sdk.ERRNUM_DATA_LENGTH
    assert client.write(10, "goal_position", 1500) == sdk.ERRNUM_DATA_LIMIT
    assert client.motors.readTxRx(client.port, 10, 700, 4)[2] == sdk.ERRNUM_DATA_RANGE


def test_the_status_return_level_decides_who_is_answered(client: Client) -> None:
    assert client.write(11, "status_return_level", 1) == 0
    assert client.motors.write1ByteTxRx(client.port, 11, 65, 1)[0] == TIMEOUT
    assert client.read(11, "led") == 1
    client.motors.write1ByteTxOnly(client.port, 11, 68, 0)
    assert client.motors.read1ByteTxRx(client.port, 11, 65)[1] == TIMEOUT
    assert client.motors.ping(client.port, 11)[1] == OK


@pytest.mark.parametrize("fast", [False, True])
def test_sync_and_bulk_reads_plain_and_fast_agree_with_single_reads(client: Client, fast: bool) -> None:
    sync = sdk.GroupSyncRead(client.port, client.motors, POSITION, 4)
    bulk = sdk.GroupBulkRead(client.port, client.motors)
    for bus_id in IDS:
        assert sync.addParam(bus_id)
        assert bulk.addParam(bus_id, POSITION if bus_id != 50 else 146, 4 if bus_id != 50 else 1)
    assert (sync.fastSyncRead() if fast else sync.txRxPacket()) == OK
    assert (bulk.fastBulkRead() if fast else bulk.txRxPacket()) == OK
    assert bulk.getData(50, 146, 1) == 25
    for bus_id in IDS[:-1]:
        single = client.read(bus_id, "present_position")
        # Without torque the fingers fall; they are no further than a few ticks on.
        assert abs(sync.getData(bus_id, POSITION, 4) - single) < 300
        assert abs(bulk.getData(bus_id, POSITION, 4) - single) < 300


def test_sync_and_bulk_write_and_registered_writes(client: Client) -> None:
    sync = sdk.GroupSyncWrite(client.port, client.motors, 65, 1)
    for bus_id in IDS:
        sync.addParam(bus_id, [1])
    assert sync.txPacket() == OK
    assert [client.read(bus_id, "led") for bus_id in IDS] == [1] * 10
    bulk = sdk.GroupBulkWrite(client.port, client.motors)
    bulk.addParam(10, 65, 1, [0])
    bulk.addParam(11, 84, 2, [100, 0])
    assert bulk.txPacket() == OK
    assert (client.read(10, "led"), client.read(11, "position_p_gain")) == (0, 100)
    for bus_id in (12, 20):
        assert client.motors.regWriteTxRx(client.port, bus_id, 65, 1, [0]) == (OK, 0)
        assert (client.read(bus_id, "led"), client.read(bus_id, "registered_instruction")) == (1, 1)
    # To all at once, which nobody answers: the SDK does not read the answer of a single motor, and would take that for
    # the answer of the next read.
    client.motors.action(client.port, sdk.BROADCAST_ID)
    for bus_id in (12, 20):
        assert (client.read(bus_id, "led"), client.read(bus_id, "registered_instruction")) == (0, 0)


def test_an_indirect_block_shows_scattered_registers_and_survives_no_reboot(client: Client) -> None:
    address, data, _ = INDIRECT_BLOCKS[0]
    for slot, place in enumerate((146, 70, 64)):
        assert client.motors.write2ByteTxRx(client.port, 10, address + 2 * slot, place) == (OK, 0)
    assert client.motors.readTxRx(client.port, 10, data, 3)[0] == [25, 0, 0]
    assert client.motors.reboot(client.port, 10) == (OK, 0)
    assert client.motors.read2ByteTxRx(client.port, 10, address)[0] == data


def test_the_bus_watchdog_stops_the_motor_and_locks_its_goals(client: Client) -> None:
    client.torque_on(11)
    assert client.write(11, "bus_watchdog", 5) == 0
    time.sleep(0.5)
    assert client.read(11, "bus_watchdog") == 255
    assert client.write(11, "goal_position", 2000) == sdk.ERRNUM_DATA_RANGE
    assert client.write(11, "bus_watchdog", 0) == 0
    assert client.write(11, "goal_position", 2000) == 0


def test_packets_feed_the_watchdog_and_without_torque_it_sleeps(client: Client) -> None:
    assert client.write(12, "bus_watchdog", 10) == 0
    time.sleep(0.4)
    assert client.read(12, "bus_watchdog") == 10
    client.torque_on(12)
    for _ in range(10):
        time.sleep(0.04)
        client.motors.ping(client.port, 12)
    assert client.read(12, "bus_watchdog") == 10


def test_turns_count_without_torque_and_fold_when_it_comes_on(client: Client, port: EmulatedPort) -> None:
    port.emulation.hand.place("valve_joint", 5.0)
    time.sleep(0.1)
    # 5 rad are 3259.5 ticks; zero stands at tick 2048.
    assert client.read(50, "present_position") == pytest.approx(2048 + 3259.5, abs=3)
    client.torque_on(50)
    assert client.read(50, "present_position") == pytest.approx(2048 + 3259.5 - 4096, abs=3)


def test_a_goal_moves_the_finger_and_power_loss_forgets_everything(
    client: Client, port: EmulatedPort
) -> None:
    client.torque_on(11)
    assert client.write(11, "position_p_gain", 800) == 0
    assert client.write(11, "goal_position", 1600) == 0
    time.sleep(1.0)
    assert client.read(11, "present_position") == pytest.approx(1600, abs=40)
    port.emulation.faults.add(Fault("power", 0.0, port.emulation.now_s + 0.3))
    time.sleep(0.1)
    assert client.motors.ping(client.port, 11)[1] == TIMEOUT
    time.sleep(0.4)
    assert client.read(11, "torque_enable") == 0
    assert client.read(11, "position_p_gain") == 800
    assert client.read(11, "goal_position") == 0


def test_hardware_errors_alert_cut_torque_and_only_a_reboot_brings_it_back(
    client: Client, port: EmulatedPort
) -> None:
    client.torque_on(20)
    port.emulation.chain.motor(20).raise_errors(1 << 5)
    _, result, error = client.motors.read1ByteTxRx(client.port, 20, ERROR)
    assert (result, error) == (OK, ALERT)
    assert client.read(20, "torque_enable") == 0
    client.write(20, "torque_enable", 1)
    assert client.read(20, "torque_enable") == 0
    assert client.motors.reboot(client.port, 20)[0] == OK
    assert client.write(20, "torque_enable", 1) == 0
    assert client.read(20, "torque_enable") == 1


def test_voltage_is_not_in_the_shutdown_mask_so_torque_stays(client: Client, port: EmulatedPort) -> None:
    client.torque_on(20)
    port.emulation.chain.motor(20).raise_errors(1)
    assert client.read(20, "hardware_error_status") == 1
    assert client.read(20, "torque_enable") == 1


def test_heat_beyond_the_limit_and_a_long_load_shut_a_motor_down(client: Client, port: EmulatedPort) -> None:
    port.emulation.faults.add(Fault("heat", bus_id=30, value=82.0))
    time.sleep(0.2)
    assert client.read(30, "present_temperature") == 82
    assert client.read(30, "hardware_error_status") == 4
    motor = port.emulation.chain.motor(31)
    motor.table["torque_enable"] = 1
    # 1.3 N m/A: 1.3 N m are 1 A, above the 0.9 A that trip after 5 s.
    for _ in range(51):
        motor.advance(0.1, 2048.0, 0.0, 3.0 / 2.3)
    assert motor.table["hardware_error_status"] == 1 << 5
    assert motor.table["torque_enable"] == 0


def test_other_baud_rates_and_missing_motors_are_silent_and_twins_are_garbled(emulate: Emulate) -> None:
    odd = {10: Oddity(missing=True), 11: Oddity(settings={"baud_rate": 1}), 12: Oddity(twice=True)}
    port = emulate(Scenario(motors=odd))
    client = Client(port.path)
    results = [client.motors.ping(client.port, bus_id)[1] for bus_id in (10, 11, 12, 20)]
    client.port.closePort()
    assert results == [TIMEOUT, TIMEOUT, CORRUPT, OK]
    slow = Client(port.path, 57_600)
    assert slow.motors.ping(slow.port, 11) == (1030, OK, 0)
    assert slow.motors.ping(slow.port, 20)[1] == TIMEOUT
    slow.port.closePort()
