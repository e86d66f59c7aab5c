# SPDX-License-Identifier: Apache-2.0
"""A driver on an emulated robot in virtual time: the same bytes through the vendor's client, without waiting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from meta_rl_core.dynamixel.driver import HandDriver
from meta_rl_core.dynamixel.mode import Mode
from meta_rl_core.dynamixel.routines import to_start
from meta_rl_core.runtime.robot_description import RobotDescription
from sim_bridge.dynamixel.emulation import Emulation, Scenario
from sim_bridge.dynamixel.virtual_port import VirtualPort

PERIOD_S = 0.01


class VirtualRobot:
    """An emulated robot with its driver; `run` lets cycles pass."""

    def __init__(self, robot: RobotDescription, scenario: Scenario | None = None, seed: int = 0) -> None:
        self.emulation = Emulation(robot, scenario, seed)
        self.port = VirtualPort(self.emulation)
        self.driver = HandDriver(robot, self.port)
        self.cycles = self.complete = 0

    def ready(self) -> VirtualRobot:
        """Connected, with torque, in the start pose."""
        self.driver.connect()
        self.run(0.1)
        self.driver.start(to_start(self.driver))
        self.until(lambda: self.driver.mode is Mode.HOLD)
        return self

    def cycle(self) -> None:
        begin_s = self.port.now_s
        self.complete += self.driver.cycle() is not None
        self.cycles += 1
        self.port.sleep_until(begin_s + PERIOD_S)

    def run(self, duration_s: float, each: Callable[[], None] | None = None) -> None:
        end_s = self.port.now_s + duration_s
        while self.port.now_s < end_s:
            if each is not None:
                each()
            self.cycle()

    def until(self, condition: Callable[[], bool], within_s: float = 60.0) -> float:
        """How long it took [s]."""
        begin_s = self.port.now_s
        while not condition():
            assert self.port.now_s - begin_s < within_s, (self.driver.mode, self.driver.reason)
            self.cycle()
        return self.port.now_s - begin_s

    def follow(self, duration_s: float) -> None:
        """Commands swing joint 0 of the first finger, one each cycle."""

        def command() -> None:
            if self.driver.mode in (Mode.HOLD, Mode.FOLLOW):
                pose = self.driver.robot.start_rad.copy()
                pose[0] = 0.2 * np.sin(2.0 * self.port.now_s)
                self.driver.command(pose)

        self.run(duration_s, command)
