# SPDX-License-Identifier: Apache-2.0
"""What drives a robot, real or simulated: read joints, write joint positions, let time pass."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_rl_core.runtime.terms import JointReading
from sim_bridge.checks import SimulationError, checked_array
from sim_bridge.seeding import episode_seed

Array = NDArray[np.float64]
_NS_PER_S = 1_000_000_000
_ALLOWED_REMAINDER_S = 1e-9


class Plant(ABC):
    """One simulated robot with the task's object, as a ROS node drives it.

    Stepping it in any division of a policy period gives the same bits as one step of the family's worlds.

    Attributes:
        family: Name of the task family it belongs to.
        joint_names: Measured joints, in the order of `read`.
        commanded_joints: Joints that `write` commands, in its order.
        task_names: Names of the task parameters (with unit suffix).
        timestep_s: Every step must last a multiple of this [s].
        period_s: Time between policy steps [s].
    """

    family: str
    joint_names: tuple[str, ...]
    commanded_joints: tuple[str, ...]
    task_names: tuple[str, ...]
    timestep_s: float
    period_s: float

    def __init__(self) -> None:
        """Starts the clock at zero; the joints are in their reset pose of seed 0, episode 0."""
        self._substeps_done = 0
        self._task: Array = np.zeros(len(self.task_names))
        self.reset(0, 0)

    @classmethod
    def of_family(cls, family: str) -> Plant:
        """The plant that poses tasks of this family; without variants it is the same for all."""
        del family
        return cls()

    @property
    def time_s(self) -> float:
        """Simulated time since construction [s]; a reset does not set it back."""
        return self._substeps_done * self.timestep_s

    @property
    def task(self) -> Array:
        """The present task parameters, shape (K,), a copy."""
        return self._task.copy()

    def read(self) -> JointReading:
        """Joint positions [rad or m] and velocities [rad/s or m/s], stamped with the simulated time."""
        position, velocity = self._measure()
        return JointReading(round(self.time_s * _NS_PER_S), self.joint_names, position, velocity)

    def write(self, command: ArrayLike) -> None:
        """Sets the position command that holds until the next one.

        Args:
            command: Positions of `commanded_joints` [rad or m], shape (A,).

        Raises:
            InvalidValueError: If the shape is wrong.
            NonFiniteError: If a number is NaN or infinite; the old command stays.
        """
        self._command(checked_array("command", command, (len(self.commanded_joints),)))

    def step(self, duration_s: float) -> None:
        """Lets time pass under the present command.

        Args:
            duration_s: A positive multiple of `timestep_s` [s].

        Raises:
            SimulationError: If it is not, or if the physics became unstable.
        """
        count = round(duration_s / self.timestep_s) if np.isfinite(duration_s) else 0
        if count < 1 or abs(count * self.timestep_s - duration_s) > _ALLOWED_REMAINDER_S:
            raise SimulationError(
                f"duration_s must be a positive multiple of {self.timestep_s} s, got {duration_s}"
            )
        self._advance(count)
        self._substeps_done += count

    def reset(self, seed: int, episode: int) -> None:
        """Puts the robot at the start of an episode; the same numbers give the same start. The task stays.

        Raises:
            InvalidValueError: If seed or episode is negative.
        """
        self._start(episode_seed(seed, episode))

    def set_task(self, values: ArrayLike) -> None:
        """Changes the task; no joint moves.

        Args:
            values: Task parameters in the order of `task_names`, shape (K,).

        Raises:
            InvalidValueError: If the shape is wrong.
            NonFiniteError: If a number is NaN or infinite; the old task stays.
        """
        self._task = checked_array("task", values, (len(self.task_names),)).copy()

    @abstractmethod
    def _measure(self) -> tuple[Array, Array]:
        """Positions and velocities of `joint_names` as fresh arrays, shape (J,) each."""

    @abstractmethod
    def _command(self, command: Array) -> None:
        """Takes over a checked command, shape (A,)."""

    @abstractmethod
    def _advance(self, substeps: int) -> None:
        """Passes `substeps` times `timestep_s`."""

    @abstractmethod
    def _start(self, world_seed: int) -> None:
        """Begins an episode from the world seed."""
