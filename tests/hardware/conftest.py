# SPDX-License-Identifier: Apache-2.0
"""An emulated robot behind a pseudo-terminal, and the vendor's own client."""

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("mujoco")
pytest.importorskip("dynamixel_sdk")

from meta_rl_core.runtime.robot_description import RobotDescription
from meta_rl_core.runtime.robot_file import load_robot
from sim_bridge.dynamixel.emulation import Emulation, Scenario
from sim_bridge.dynamixel.terminal import EmulatedPort

Emulate = Callable[..., EmulatedPort]


@pytest.fixture(scope="session")
def robot(repository: Path) -> RobotDescription:
    """The shipped D'Claw."""
    return load_robot(repository / "config" / "robots" / "dclaw.yaml")


@pytest.fixture
def emulate(robot: RobotDescription) -> Iterator[Emulate]:
    """Starts emulated ports, each served by a thread; all end with the test."""
    running = []
    # The vendor's client waits in a busy loop; the emulator's thread must get its turn within the client's patience.
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(2e-4)

    def start(scenario: Scenario | None = None, link: Path | None = None, seed: int = 0) -> EmulatedPort:
        port = EmulatedPort(Emulation(robot, scenario, seed), link)
        thread = threading.Thread(target=port.serve, daemon=True)
        thread.start()
        running.append((port, thread))
        return port

    yield start
    for port, thread in running:
        port.stop()
        thread.join(10)
        port.close()
    sys.setswitchinterval(before_s)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Answers in real time on a loaded machine: one more try, which pytest reports as a rerun."""
    for item in items:
        if "tests/hardware/" in str(item.path) and "emulate" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.flaky(reruns=2))
