# SPDX-License-Identifier: Apache-2.0
"""Physics of many worlds stepped at once on a pool of threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import mujoco
import numpy as np
from mujoco.rollout import Rollout
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError
from sim_bridge.checks import SimulationError

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

FULL_PHYSICS = int(mujoco.mjtState.mjSTATE_FULLPHYSICS)
CONTROL = int(mujoco.mjtState.mjSTATE_CTRL)
_TIME = 0
_TIME_TOLERANCE_S = 1e-6


class BatchPhysics:
    """N worlds whose state is time, positions and velocities; a policy step is a fixed number of physics steps.

    The constraint solver starts cold at every policy step. That makes a step a function of state and control
    alone, whatever world, thread or batch it runs in, and costs next to nothing.

    Attributes:
        models: One compiled model per world, all of one size; the same one unless the caller replaces some.
        substeps: Physics steps per policy step.
        state: Time [s], positions and velocities of each world, shape (N, 1 + nq + nv).
        position: View of the positions, shape (N, nq).
        velocity: View of the velocities, shape (N, nv).
    """

    def __init__(self, model: mujoco.MjModel, count: int, substeps: int, threads: int | None = None) -> None:
        """Starts the threads.

        Args:
            model: The compiled model.
            count: Number of worlds N.
            substeps: Physics steps per policy step.
            threads: Size of the thread pool; by default one per CPU, never more than worlds.

        Raises:
            InvalidValueError: If a number is not positive.
            SimulationError: If the model has state besides positions and velocities.
        """
        if count < 1 or (threads is not None and threads < 1):
            raise InvalidValueError(f"worlds and threads must be 1 or more, got {count} and {threads}")
        size = 1 + model.nq + model.nv
        if mujoco.mj_stateSize(model, FULL_PHYSICS) != size:
            raise SimulationError("the model must have no state besides time, positions and velocities")
        self.threads = min(count, threads or os.cpu_count() or 1)
        self.models = [model] * count
        self.state = np.zeros((count, size))
        self.position = self.state[:, 1 : 1 + model.nq]
        self.velocity = self.state[:, 1 + model.nq :]
        self.substeps = substeps
        self._duration_s = substeps * model.opt.timestep
        self._data = [mujoco.MjData(model) for _ in range(self.threads)]
        self._pool = Rollout(nthread=self.threads if self.threads > 1 else 0)
        self._readers = ThreadPoolExecutor(self.threads) if self.threads > 1 else None
        self._trace = np.zeros((count, substeps, size))
        self._control = np.zeros((count, substeps, model.nu))
        self._cold_start = np.zeros((count, model.nv))

    def advance(self, control: Array, rows: Rows | None = None) -> NDArray[np.bool_]:
        """Advances worlds by one policy step.

        Args:
            control: Shape (n, nu), one row per advanced world, constant over the step; or (n, substeps, nu).
            rows: The n worlds to advance, each once; by default all.

        Returns:
            Which of them became unstable, shape (n,); those stay in the state they were in.
        """
        whole = rows is None or len(rows) == len(self.state)
        rows = np.arange(len(self.state)) if rows is None else rows
        count = len(rows)
        if not count:
            return np.zeros(0, dtype=np.bool_)
        before = self.state if whole else self.state[rows]
        self._control[:count] = control if control.ndim == 3 else control[:, None, :]
        self._pool.rollout(
            self.models if whole else [self.models[row] for row in rows],
            self._data,
            before,
            self._control[:count],
            control_spec=CONTROL,
            skip_checks=True,
            nstep=self.substeps,
            initial_warmstart=self._cold_start[:count],
            state=self._trace[:count],
        )
        after = self._trace[:count, -1]
        # MuJoCo resets a world that blows up, which sets its clock back.
        late = np.abs(after[:, _TIME] - before[:, _TIME] - self._duration_s) > _TIME_TOLERANCE_S
        unstable = np.asarray(late | ~np.isfinite(after).all(axis=1))
        self.state[rows[~unstable]] = after[~unstable]
        return unstable

    def read(self, control: Array, rows: Rows, reader: Callable[[int, mujoco.MjData], None]) -> None:
        """Computes everything that follows from state and control, contact forces on bodies included.

        Args:
            control: Shape (n, nu), one row per world read.
            rows: The n worlds to read.
            reader: Called with the index into `rows` and MuJoCo's data, from any thread; copies what it needs.
        """

        def read_share(share: int) -> None:
            data = self._data[share]
            for index in range(share, len(rows), self.threads):
                model = self.models[rows[index]]
                mujoco.mj_setState(model, data, self.state[rows[index]], FULL_PHYSICS)
                data.ctrl[:] = control[index]
                data.qacc_warmstart[:] = 0.0
                mujoco.mj_forward(model, data)
                # Forces on bodies are not part of a forward pass: without this call they would stay zero.
                mujoco.mj_rnePostConstraint(model, data)
                reader(index, data)

        if self._readers is None:
            read_share(0)
        else:
            list(self._readers.map(read_share, range(self.threads)))
