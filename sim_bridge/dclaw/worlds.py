# SPDX-License-Identifier: Apache-2.0
"""Many D'Claws stepped at once on a pool of threads."""

from __future__ import annotations

import os

import mujoco
import numpy as np
from mujoco.rollout import Rollout
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.families.dclaw_turn import DClawTurnReward, make_robot
from meta_rl_core.runtime.terms import assemble
from meta_rl_core.tasks import Worlds, WorldsStep
from sim_bridge.checks import SimulationError, checked_array, checked_seeds
from sim_bridge.dclaw.drawing import DClawCamera
from sim_bridge.dclaw.model import (
    CONTROL,
    JOINTS,
    POSITION,
    STATE_SIZE,
    VELOCITY,
    load_model,
    policy_substeps,
    start_state,
)

Array = NDArray[np.float64]
_TIME = 0
_TIME_TOLERANCE_S = 1e-6


class DClawWorlds(Worlds):
    """N independent D'Claws; one policy step is 40 physics steps with a constant position command.

    The constraint solver starts cold at every policy step. That makes a step a function of state and action
    alone, whatever world, thread or batch it runs in, and costs next to nothing.
    """

    def __init__(self, count: int, threads: int | None = None) -> None:
        """Compiles the model and starts the threads.

        Args:
            count: Number of worlds N.
            threads: Size of the thread pool; by default one per CPU, never more than worlds.

        Raises:
            InvalidValueError: If a number is not positive.
        """
        if count < 1 or (threads is not None and threads < 1):
            raise InvalidValueError(f"worlds and threads must be 1 or more, got {count} and {threads}")
        self.count = count
        self.threads = min(count, threads or os.cpu_count() or 1)
        self._robot = make_robot()
        self._model = load_model()
        self._substeps = policy_substeps(self._model)
        self._models = [self._model] * count
        self._data = [mujoco.MjData(self._model) for _ in range(self.threads)]
        self._pool = Rollout(nthread=self.threads if self.threads > 1 else 0)
        self._state = np.zeros((count, STATE_SIZE))
        self._trace = np.zeros((count, self._substeps, STATE_SIZE))
        self._control = np.zeros((count, self._substeps, self._model.nu))
        self._cold_start = np.zeros((count, self._model.nv))
        self._last_action = np.zeros((count, self._model.nu))
        self._started = False
        self._camera: DClawCamera | None = None

    def reset(self, tasks: Array, seeds: NDArray[np.int64]) -> Array:
        """Starts an episode in every world; the target changes nothing that can be seen.

        Args:
            tasks: Target angles [rad], shape (N, 1).
            seeds: One seed per world, shape (N,); a world's start depends on its own seed alone.

        Returns:
            Observations, shape (N, 31).

        Raises:
            InvalidValueError: If a shape is wrong or a seed negative.
            NonFiniteError: If a target is NaN or infinite.
        """
        checked_array("tasks", tasks, (self.count, 1))
        for row, seed in enumerate(checked_seeds(seeds, self.count)):
            self._state[row] = start_state(int(seed))
        self._last_action[:] = 0.0
        self._started = True
        return self._observe()

    def step(self, actions: Array) -> WorldsStep:
        """Advances every world by 0.1 s.

        Args:
            actions: Shape (N, 9), clipped to [-1, 1].

        Returns:
            Observations (N, 31), signals (N, 19) and terminal flags (N,), all false.

        Raises:
            InvalidValueError: If the shape is wrong.
            NonFiniteError: If an action is NaN or infinite; no world moves.
            SimulationError: If `reset` was never called, or a world's physics became unstable.
        """
        if not self._started:
            raise SimulationError("the worlds have no state yet: call reset before step")
        actions = checked_array("actions", actions, (self.count, self._model.nu))
        self._control[:] = self._robot.command(actions, self._state[:, POSITION])[:, None, :]
        self._pool.rollout(
            self._models,
            self._data,
            self._state,
            self._control,
            control_spec=CONTROL,
            skip_checks=True,
            nstep=self._substeps,
            initial_warmstart=self._cold_start,
            state=self._trace,
        )
        self._take_over_last_substep()
        np.clip(actions, -1.0, 1.0, out=self._last_action)
        signals = assemble(
            DClawTurnReward.signal_terms, JOINTS, self._state[:, POSITION], self._state[:, VELOCITY]
        )
        return WorldsStep(self._observe(), signals, np.zeros(self.count, dtype=np.bool_))

    def draw(self, world: int, task: Array, width: int = 640, height: int = 480) -> NDArray[np.uint8]:
        """A picture of one world with its target marked, shape (height, width, 3).

        Args:
            world: Which world.
            task: Its target [rad], shape (1,).
            width: Image width [pixels].
            height: Image height [pixels].

        Raises:
            SimulationError: If this machine offers no OpenGL context.
        """
        if self._camera is None:
            self._camera = DClawCamera(self._model, width, height)
        return self._camera.draw(self._state[world], float(task[0]))

    def _take_over_last_substep(self) -> None:
        expected = self._state[:, _TIME] + self._substeps * self._model.opt.timestep
        self._state[:] = self._trace[:, -1]
        # MuJoCo resets a world that blows up, which sets its clock back.
        late = np.flatnonzero(np.abs(self._state[:, _TIME] - expected) > _TIME_TOLERANCE_S)
        if late.size or not np.isfinite(self._state).all():
            self._started = False
            raise SimulationError(
                f"the physics of worlds {late.tolist()} became unstable; reset before going on"
            )

    def _observe(self) -> Array:
        return self._robot.observe(self._state[:, POSITION], self._state[:, VELOCITY], self._last_action)
