# SPDX-License-Identifier: Apache-2.0
"""Scripted faults of the emulated bus, and the command that opens it."""

import os
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from sim_bridge.dynamixel.emulation import Scenario
from sim_bridge.dynamixel.faults import Fault
from tests.hardware.conftest import Emulate
from tests.hardware.test_emulator import OK, TIMEOUT, Client


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("drop", bus_id=20), TIMEOUT),
        (Fault("corrupt", bus_id=20), None),
        (Fault("truncate", bus_id=20), None),
        (Fault("delay", bus_id=20, value=0.2), TIMEOUT),
        (Fault("silent", bus_id=20), TIMEOUT),
        (Fault("garbage", bus_id=20), OK),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_a_scripted_fault_hits_the_motor_it_names(
    emulate: Emulate, fault: Fault, expected: int | None
) -> None:
    client = Client(emulate(Scenario(faults=(fault,))).path)
    result = client.motors.ping(client.port, 20)[1]
    assert result == expected if expected is not None else result != OK
    time.sleep(0.3)
    assert client.motors.ping(client.port, 21)[1] == OK
    client.port.closePort()


def test_a_pulled_cable_is_an_input_output_error_and_the_link_comes_back(
    emulate: Emulate, tmp_path: Path
) -> None:
    link = tmp_path / "hand"
    port = emulate(link=link)
    client = Client(str(link))
    port.emulation.faults.add(Fault("eio", 0.0, port.emulation.now_s + 0.6))
    time.sleep(0.3)
    assert not link.exists()
    with pytest.raises((OSError, termios.error)):
        client.motors.ping(client.port, 20)
    client.port.closePort()
    time.sleep(0.6)
    again = Client(str(link))
    assert again.motors.ping(again.port, 20)[1] == OK
    again.port.closePort()


def test_the_command_prints_the_port_and_ends_cleanly_on_ctrl_c(tmp_path: Path) -> None:
    link = tmp_path / "hand"
    start = "from meta_rl_core.cli.main import run; run()"
    command = [sys.executable, "-u", "-c", start, "emulate", "dclaw", "--link", str(link)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"dclaw answers on {link}; Ctrl-C ends it\n"
        client = Client(str(link))
        assert client.motors.ping(client.port, 50)[1] == OK
        client.port.closePort()
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(20) == 0
        assert not link.is_symlink()
    finally:
        process.kill()
        process.wait()
