# SPDX-License-Identifier: Apache-2.0
"""A plant with strictly increasing stamps, a task and a step that waits for its command. Knows no ROS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.registry import load_family, load_registered
from meta_rl_core.runtime.terms import JointReading, NameMap

if TYPE_CHECKING:
    from sim_bridge.plant import Plant

Array = NDArray[np.float64]
NANOSECONDS = 1_000_000_000
FIRST_STAMP_NS = NANOSECONDS
"""Simulated time starts at 1 s: ROS reads time zero as `no clock yet`."""


class Simulation:
    """Drives a plant for a node.

    Attributes:
        plant: The simulated robot.
        family: Task family that held-out tasks are drawn from.
        task_seed: Seed the present task was drawn with; -1 if it was set by value.
    """

    def __init__(self, plant: str, family: str) -> None:
        """Builds the plant.

        Args:
            plant: Registered name of the plant.
            family: Registered name of the task family; empty takes the plant's own.

        Raises:
            UnknownNameError: If a name is not registered.
        """
        kind = load_registered("plants", plant)
        self.family = family or kind.family
        self._tasks = load_family(self.family)
        self.plant: Plant = kind.of_family(self._tasks.spec.name)
        if self._tasks.spec.task_names != tuple(self.plant.task_names):
            raise InvalidValueError(
                f"family {self.family} has tasks of {', '.join(self._tasks.spec.task_names)}, "
                f"plant {plant} of {', '.join(self.plant.task_names)}"
            )
        self._names = NameMap(self.plant.commanded_joints)
        self._offset_ns = FIRST_STAMP_NS
        self.task_seed = -1
        self.state = self._read()

    @property
    def task_names(self) -> tuple[str, ...]:
        """Names of the task parameters."""
        return tuple(self.plant.task_names)

    @property
    def goal(self) -> dict[str, float]:
        """Goal positions by joint [rad or m] that the present task tells a policy; empty where it is hidden."""
        values = dict(zip(self.task_names, self.plant.task.tolist(), strict=True))
        told = self._tasks.reward_model.goal_parameters
        return {joint: values[name] for joint, name in told.items()}

    def draw_task(self, seed: int) -> None:
        """Takes the first held-out task of a seed.

        Raises:
            InvalidValueError: If the seed is negative.
        """
        self.plant.set_task(self._tasks.heldout_tasks(1, seed)[0])
        self.task_seed = seed

    def set_task(self, values: Array) -> None:
        """Takes a task by value.

        Raises:
            PitayaError: If there are too few or many values or one is not finite.
        """
        self.plant.set_task(values)
        self.task_seed = -1

    def reset(self, seed: int, episode: int) -> JointReading:
        """Puts the plant at the start of an episode; the state is stamped later than all before."""
        self.plant.reset(seed, episode)
        # The smallest step there is, so that a reset never looks like a silent policy.
        self._offset_ns += round(self.plant.timestep_s * NANOSECONDS)
        self.state = self._read()
        return self.state

    def write(self, command: JointReading) -> None:
        """Commands the joints, given in any order.

        Raises:
            PitayaError: If names or numbers do not fit; the old command stays.
        """
        self.plant.write(self._names.arrange(command).position)

    def step(self, duration_s: float) -> JointReading:
        """Lets time pass and gives the new state."""
        self.plant.step(duration_s)
        self.state = self._read()
        return self.state

    def _read(self) -> JointReading:
        reading = self.plant.read()
        return JointReading(
            reading.stamp_ns + self._offset_ns, reading.names, reading.position, reading.velocity
        )
