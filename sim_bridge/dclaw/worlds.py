# SPDX-License-Identifier: Apache-2.0
"""Many D'Claws stepped at once on a pool of threads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families.dclaw_turn import DClawTurnReward, make_robot
from meta_rl_core.runtime.robot_file import load_robot
from meta_rl_core.runtime.robot_interface import RobotInterface
from meta_rl_core.runtime.safety_filter import JointLimits, SafetyFilter
from meta_rl_core.runtime.terms import assemble
from meta_rl_core.tasks import Worlds, WorldsStep
from sim_bridge.batch_physics import BatchPhysics
from sim_bridge.checks import SimulationError, checked_array, checked_seeds
from sim_bridge.dclaw.drawing import DClawCamera
from sim_bridge.dclaw.model import JOINTS, load_model, policy_substeps, start_state

Array = NDArray[np.float64]


ROBOT_FILE = Path(__file__).with_name("robot.yaml")
"""The robot's own description, config/robots/dclaw.yaml."""


def make_safety_filter(robot: RobotInterface) -> SafetyFilter:
    """The filter that a real D'Claw's command gate ends with, for the joints that `robot` commands."""
    limits = JointLimits.from_robot(load_robot(ROBOT_FILE), robot.action.joints)
    return SafetyFilter(limits, robot.period_s)


class DClawWorlds(Worlds):
    """N independent D'Claws; one policy step is 40 physics steps with a constant position command.

    Commands pass the safety filter of the real robot's gate, so a policy is trained under the limits it will meet.
    """

    def __init__(self, count: int, threads: int | None = None) -> None:
        """Compiles the model and starts the threads.

        Args:
            count: Number of worlds N.
            threads: Size of the thread pool; by default one per CPU, never more than worlds.

        Raises:
            InvalidValueError: If a number is not positive.
        """
        self.count = count
        self._robot = make_robot()
        self._safe = make_safety_filter(self._robot)
        self._model = load_model()
        self.physics = BatchPhysics(self._model, count, policy_substeps(self._model), threads)
        self._last_action = np.zeros((count, self._model.nu))
        self._started = False
        self._camera: DClawCamera | None = None

    def reset(self, tasks: Array, seeds: NDArray[np.int64]) -> Array:
        """Starts an episode in every world.

        Args:
            tasks: Task parameters, shape (N, K).
            seeds: One seed per world, shape (N,); a world's start depends on its own seed alone.

        Returns:
            Observations, shape (N, O).

        Raises:
            InvalidValueError: If a shape is wrong or a seed negative.
            NonFiniteError: If a target is NaN or infinite.
        """
        seeds = checked_seeds(seeds, self.count)
        self.take_tasks(tasks)
        for row, seed in enumerate(seeds):
            self.physics.state[row] = start_state(int(seed))
        self._last_action[:] = 0.0
        self._started = True
        return self._observe()

    def step(self, actions: Array) -> WorldsStep:
        """Advances every world by 0.1 s.

        Args:
            actions: Shape (N, 9), clipped to [-1, 1].

        Returns:
            Observations (N, O), signals (N, 19) and terminal flags (N,), all false.

        Raises:
            InvalidValueError: If the shape is wrong.
            NonFiniteError: If an action is NaN or infinite; no world moves.
            SimulationError: If `reset` was never called, or a world's physics became unstable.
        """
        if not self._started:
            raise SimulationError("the worlds have no state yet: call reset before step")
        actions = checked_array("actions", actions, (self.count, self._model.nu))
        unstable = self.physics.advance(self.control(self._permitted(actions)))
        if unstable.any():
            self._started = False
            raise SimulationError(
                f"the physics of worlds {np.flatnonzero(unstable).tolist()} became unstable; reset before going on"
            )
        np.clip(actions, -1.0, 1.0, out=self._last_action)
        signals = assemble(DClawTurnReward.signal_terms, JOINTS, self.physics.position, self.physics.velocity)
        return WorldsStep(self._observe(), signals, np.zeros(self.count, dtype=np.bool_))

    def _permitted(self, actions: Array) -> Array:
        measured = self.physics.position
        command = self._robot.command(actions, measured)
        return self._safe.limit(command, measured[:, : self._model.nu]).command

    def take_tasks(self, tasks: Array) -> None:
        """Checks the targets [rad], shape (N, 1), which change nothing that can be seen.

        Raises:
            InvalidValueError: If the shape is wrong.
            NonFiniteError: If a target is NaN or infinite.
        """
        checked_array("tasks", tasks, (self.count, 1))

    def control(self, command: Array) -> Array:
        """What the servos are told during the step: shape (N, 9), or (N, physics steps, 9) where it changes."""
        return command

    def draw(self, world: int, task: Array, width: int = 640, height: int = 480) -> NDArray[np.uint8]:
        """A picture of one world with its target marked, shape (height, width, 3).

        Args:
            world: Which world.
            task: Its task, the target [rad] first.
            width: Image width [pixels].
            height: Image height [pixels].

        Raises:
            SimulationError: If this machine offers no OpenGL context.
        """
        if self._camera is None:
            self._camera = DClawCamera(self._model, width, height)
        return self._camera.draw(self.physics.state[world], float(task[0]))

    def _observe(self) -> Array:
        return self._robot.observe(self.physics.position, self.physics.velocity, self._last_action)
