# SPDX-License-Identifier: Apache-2.0
"""One reset of a real robot, from request to the first state of the episode, with a person's help if need be."""

from __future__ import annotations

from typing import Any

from meta_rl_core.dynamixel.driver import HandDriver
from meta_rl_core.dynamixel.mode import Mode
from meta_rl_core.dynamixel.port import BusError
from meta_rl_core.dynamixel.routines import reset, routine_of
from sim_bridge.seeding import episode_seed, start_generator

LOST_S = 10.0
"""How long a reset waits for a bus that is lost [s]."""


class ResetJob:
    """A reset that goes on with every cycle of the driver.

    Attributes:
        episode: Seed and episode that it prepares.
        done: Whether it has ended.
        message: Why it failed; empty on success.
        stamp_ns: Stamp of the first state of the episode [ns].
    """

    def __init__(
        self, driver: HandDriver, episode: tuple[int, int], person_timeout_s: float, log: Any
    ) -> None:
        """Starts the routine.

        Args:
            driver: The robot.
            episode: Seed and episode; they decide where the object starts, as in simulation.
            person_timeout_s: How long to wait for a person [s].
            log: Where to ask for one.
        """
        self._driver, self.episode, self._log = driver, episode, log
        self._person_timeout_s = person_timeout_s
        self._waiting_since_s: float | None = None
        self._lost_since_s: float | None = None
        self.done, self.message, self.stamp_ns = False, "", 0
        self._finished = False
        self._start()

    def step(self, stamp_ns: int | None) -> None:
        """Goes on after a cycle; `stamp_ns` is that of the state it published, if any [ns]."""
        if self.done:
            return
        if self._waiting_since_s is not None:
            if self._driver.clock() - self._waiting_since_s > self._person_timeout_s:
                self.give_up(self.message)
            return
        if self._lost_since_s is not None:
            self._after_loss(self._lost_since_s)
            return
        if self._finished and stamp_ns is not None:
            self.stamp_ns, self.done = stamp_ns, True
        if self._finished or self._driver.mode is Mode.ROUTINE:
            return
        if self._driver.mode is Mode.HOLD and not self._driver.reason:
            # The episode begins with the next state.
            self._finished = True
            return
        self._ask(self._driver.reason)

    def go_on(self) -> bool:
        """A person has helped; whether the job was waiting for that."""
        if self.done or self._waiting_since_s is None:
            return False
        self._waiting_since_s, self.message = None, ""
        self._start()
        return True

    def give_up(self, reason: str) -> None:
        """Ends the job without success."""
        if not self.done:
            self.message, self.done = reason, True

    def _start(self) -> None:
        try:
            half_range = routine_of(self._driver).object_start_rad
            random = start_generator(episode_seed(*self.episode))
            self._driver.start(reset(self._driver, float(random.uniform(-half_range, half_range))))
        except BusError as error:
            self._ask(str(error))

    def _after_loss(self, since_s: float) -> None:
        """Begins again when the bus is back."""
        if self._driver.mode is not Mode.LOST:
            self._lost_since_s, self.message = None, ""
            self._start()
        elif self._driver.clock() - since_s > LOST_S:
            self.give_up(self.message)

    def _ask(self, reason: str) -> None:
        self.message = reason
        if self._driver.mode is Mode.LOST:
            self._lost_since_s, self._finished = self._driver.clock(), False
            return
        if self._driver.mode is Mode.FAULT or self._person_timeout_s <= 0.0:
            self.give_up(reason)
            return
        self._waiting_since_s = self._driver.clock()
        self._log.error(f"a person is needed: {reason} (service ~/continue_reset)")
