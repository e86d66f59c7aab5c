# SPDX-License-Identifier: Apache-2.0
"""What the worlds of all locomotion families do alike: start, step, end in a fall, stay where they fell."""

from __future__ import annotations

import re
from abc import abstractmethod
from importlib.resources import files
from typing import ClassVar

import mujoco
import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families.locomotion import LocomotionReward
from meta_rl_core.tasks import Worlds, WorldsStep
from sim_bridge.batch_physics import BatchPhysics, Rows
from sim_bridge.checks import SimulationError, checked_array, checked_seeds
from sim_bridge.seeding import start_generator

Array = NDArray[np.float64]
_TOTAL_MASS = re.compile(r'\ssettotalmass="([0-9.]+)"')


def load_gymnasium_model(file_name: str) -> mujoco.MjModel:
    """Compiles a model that the installed Gymnasium ships, such as `half_cheetah.xml`.

    Raises:
        SimulationError: If it ships no such file.
    """
    asset = files("gymnasium").joinpath(f"envs/mujoco/assets/{file_name}")
    if not asset.is_file():
        raise SimulationError(f"Gymnasium ships no {file_name}; install the pinned version (make setup)")
    text = asset.read_text(encoding="utf-8")
    model = mujoco.MjModel.from_xml_string(_TOTAL_MASS.sub("", text))
    # MuJoCo 4 is about to drop this attribute and says to do the same to the compiled model.
    if (total_mass := _TOTAL_MASS.search(text)) is not None:
        mujoco.mj_setTotalmass(model, float(total_mass[1]))
        mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


class LocomotionWorlds(Worlds):
    """N bodies that move; each starts near its model's reference pose.

    A world that has fallen stays as it fell, costs nothing and goes on saying so.
    """

    model_file: ClassVar[str]
    substeps: ClassVar[int]
    position_noise: ClassVar[float]
    """Half width of the uniform noise on every starting position [m or rad]."""
    velocity_noise: ClassVar[float]
    """Size of the noise on every starting velocity [m/s or rad/s]."""
    normal_velocity_noise: ClassVar[bool] = False
    """Whether that noise is normal (its standard deviation) or uniform (its half width)."""
    can_fall: ClassVar[bool] = False
    """Whether an episode can end early; where it cannot, unstable physics is an error instead of an end."""
    action_scale: ClassVar[float] = 1.0
    """Control that the action 1 stands for."""

    def __init__(
        self, reward: LocomotionReward, observation_dim: int, count: int, threads: int | None = None
    ) -> None:
        """Compiles the model and starts the threads.

        Args:
            reward: The family's reward model, which names signals and tasks.
            observation_dim: Length O of the observation.
            count: Number of worlds N.
            threads: Size of the thread pool; by default one per CPU, never more than worlds.

        Raises:
            InvalidValueError: If a number is not positive.
        """
        self.count = count
        self.model = load_gymnasium_model(self.model_file)
        self.physics = BatchPhysics(self.model, count, self.substeps, threads)
        self.period_s = float(self.substeps * self.model.opt.timestep)
        self._task_dim = len(reward.task_names)
        self._observation = np.zeros((count, observation_dim))
        self._signals = np.zeros((count, len(reward.signal_names)))
        self._fallen = np.zeros(count, dtype=np.bool_)
        self._started = False

    def reset(self, tasks: Array, seeds: NDArray[np.int64]) -> Array:
        """Starts an episode in every world.

        Args:
            tasks: Task parameters, shape (N, K).
            seeds: One seed per world, shape (N,); a world's start depends on its own seed alone.

        Returns:
            Observations, shape (N, O).

        Raises:
            InvalidValueError: If a shape is wrong, a seed negative or a task out of range.
            NonFiniteError: If a task parameter is NaN or infinite.
        """
        tasks = checked_array("tasks", tasks, (self.count, self._task_dim))
        seeds = checked_seeds(seeds, self.count)
        self.take_tasks(tasks)
        self.physics.state[:] = 0.0
        for row, seed in enumerate(seeds):
            self._place(row, int(seed))
        self._fallen[:] = False
        self._started = True
        rows = np.arange(self.count)
        self.measure(rows, np.zeros((self.count, self.model.nu)))
        self._observation[:] = self.observe(rows)
        return self._observation.copy()

    def step(self, actions: Array) -> WorldsStep:
        """Advances every world that stands by one policy step.

        Args:
            actions: Shape (N, A), clipped to [-1, 1].

        Returns:
            Observations (N, O), signals (N, S) and which worlds have fallen (N,).

        Raises:
            InvalidValueError: If the shape is wrong.
            NonFiniteError: If an action is NaN or infinite; no world moves.
            SimulationError: If `reset` was never called, or physics that cannot end in a fall became unstable.
        """
        if not self._started:
            raise SimulationError("the worlds have no state yet: call reset before step")
        actions = checked_array("actions", actions, (self.count, self.model.nu))
        rows = np.flatnonzero(~self._fallen)
        control = self.action_scale * np.clip(actions, -1.0, 1.0)[rows]
        before = self.place_of(rows)
        unstable = self.physics.advance(control, rows)
        if unstable.any() and not self.can_fall:
            self._started = False
            raise SimulationError(
                f"the physics of worlds {rows[unstable].tolist()} became unstable; reset before going on"
            )
        self.measure(rows, control)
        self._observation[rows] = self.observe(rows)
        self._signals[rows] = self.signal((self.place_of(rows) - before) / self.period_s, rows)
        if self.can_fall:
            self._fallen[rows] = unstable | self.has_fallen(rows)
        return WorldsStep(self._observation.copy(), self._signals.copy(), self._fallen.copy())

    def _place(self, row: int, seed: int) -> None:
        generator, model = start_generator(seed), self.model
        noise = self.position_noise
        self.physics.position[row] = model.qpos0 + generator.uniform(-noise, noise, size=model.nq)
        if self.normal_velocity_noise:
            velocity = generator.standard_normal(model.nv)
        else:
            velocity = generator.uniform(-1.0, 1.0, size=model.nv)
        self.physics.velocity[row] = self.velocity_noise * velocity

    @abstractmethod
    def observe(self, rows: Rows) -> Array:
        """Observations of the worlds named by `rows` (n,), shape (n, O)."""

    @abstractmethod
    def place_of(self, rows: Rows) -> Array:
        """Where the bodies are [m], shape (n, d); the difference over a step is rewarded. A copy."""

    def signal(self, velocity_m_s: Array, rows: Rows) -> Array:
        """Signals, shape (n, S), from the mean velocity over the step (n, d); by default that velocity."""
        del rows
        return velocity_m_s

    def has_fallen(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of the worlds have fallen, shape (n,)."""
        return np.zeros(len(rows), dtype=np.bool_)

    def take_tasks(self, tasks: Array) -> None:
        """Makes the worlds those of the tasks (N, K)."""

    def measure(self, rows: Rows, control: Array) -> None:
        """Reads what does not stand in the state, after a step under `control` (n, nu)."""
