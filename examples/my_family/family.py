# SPDX-License-Identifier: Apache-2.0
"""The family: what is measured, rewarded and solved, which tasks there are, and how worlds step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families.drawing import TRAINING_SEED, draw_apart, heldout_generator
from meta_rl_core.families.rows import checked_rows
from meta_rl_core.runtime.action import JointPositionAction
from meta_rl_core.runtime.robot_interface import RobotInterface
from meta_rl_core.runtime.terms import Term
from meta_rl_core.tasks import FamilySpec, Judgement, RewardModel, TaskFamily, Worlds, WorldsStep
from sim_bridge.checks import SimulationError, checked_array, checked_seeds
from sim_bridge.seeding import start_generator

Array = NDArray[np.float64]

# Bundles find family and reward model by these names; registered ones (entry points) may be shorter.
FAMILY = "examples.my_family:make_family"
REWARD = "examples.my_family:RailReward"
JOINTS = ("rail_joint",)
PERIOD_S = 0.1
HORIZON = 20
STEP_M = 0.15
RAIL_M = 1.0
START_M = 0.1
SOLVED_M = 0.1
NEAR_M = 0.25
TRAINING_COUNT = 40
LEAST_TASK_DISTANCE_M = 1e-3


def make_robot() -> RobotInterface:
    """One position axis from -1 to 1 m; a command lies at most 0.15 m from where the carriage is."""
    action = JointPositionAction(
        joints=JOINTS,
        center=np.zeros(1),
        half_range=np.full(1, RAIL_M),
        low=np.full(1, -RAIL_M),
        high=np.full(1, RAIL_M),
        max_step=np.full(1, STEP_M),
    )
    return RobotInterface((Term("position", JOINTS),), action, PERIOD_S, HORIZON)


class RailReward(RewardModel):
    """Minus the distance to the stop; in the sparse form 1 within 0.25 m of it and 0 elsewhere."""

    name = REWARD
    signal_terms = (Term("position", JOINTS),)
    signal_names = ("rail_position_m",)
    task_names = ("stop_m",)

    def judge(self, signals: Array, actions: Array, tasks: Array) -> Judgement:
        """Judges steps row by row: signals (..., 1), actions (..., 1) unused, tasks (..., 1), all [m].

        Raises:
            InvalidValueError: If a last dimension is wrong.
        """
        signals, tasks = checked_rows("signals", signals, 1), checked_rows("tasks", tasks, 1)
        distance = np.abs(signals[..., 0] - tasks[..., 0])
        return Judgement(-distance, np.where(distance < NEAR_M, 1.0, 0.0), distance, distance < SOLVED_M)


def start_position(world_seed: int) -> Array:
    """Where the carriage starts [m], within 0.1 m of the middle, shape (1,)."""
    return start_generator(world_seed).uniform(-START_M, START_M, size=1)


class RailWorlds(Worlds):
    """N carriages, each on a rail of its own; a real family would step a physics engine here."""

    def __init__(self, count: int) -> None:
        """Prepares the carriages."""
        self.count = count
        self._robot = make_robot()
        self._position: Array | None = None

    def reset(self, tasks: Array, seeds: NDArray[np.int64]) -> Array:
        """Starts an episode; the task is checked and then left alone, for no observation may show it."""
        checked_array("tasks", tasks, (self.count, 1))
        self._position = np.stack([start_position(int(seed)) for seed in checked_seeds(seeds, self.count)])
        return self._position.copy()

    def step(self, actions: Array) -> WorldsStep:
        """Moves every carriage to its command; actions have shape (N, 1)."""
        if self._position is None:
            raise SimulationError("the worlds have no state yet: call reset before step")
        self._position = self._robot.command(
            checked_array("actions", actions, (self.count, 1)), self._position
        )
        # Copies: the caller may keep or change what it gets.
        return WorldsStep(self._position.copy(), self._position.copy(), np.zeros(self.count, dtype=np.bool_))


class RailFamily(TaskFamily):
    """Stops anywhere on the rail."""

    def __init__(self) -> None:
        """Builds spec and reward model."""
        robot = make_robot()
        self.reward_model = RailReward()
        self.spec = FamilySpec(
            name=FAMILY,
            observation_dim=robot.observation_dim,
            action_dim=robot.action_dim,
            signal_names=RailReward.signal_names,
            task_names=RailReward.task_names,
            horizon=HORIZON,
            period_s=PERIOD_S,
            context_reward="dense",
            robot=robot,
        )

    def training_tasks(self) -> Array:
        """40 stops [m], always the same, shape (40, 1)."""
        return self.sample_tasks(TRAINING_COUNT, np.random.Generator(np.random.PCG64(TRAINING_SEED)))

    def heldout_tasks(self, count: int, seed: int) -> Array:
        """Stops [m] at least a millimetre from every training stop, shape (count, 1)."""
        known = self.training_tasks()[:, 0]

        def too_close(tasks: Array) -> NDArray[np.bool_]:
            return np.asarray(np.abs(tasks - known).min(axis=-1) < LEAST_TASK_DISTANCE_M)

        return draw_apart(
            count, heldout_generator(seed), lambda source, n: self.sample_tasks(n, source), too_close
        )

    def sample_tasks(self, count: int, generator: np.random.Generator) -> Array:
        """Fresh stops [m], uniform on the rail, shape (count, 1)."""
        return generator.uniform(-RAIL_M, RAIL_M, size=(count, 1))

    def make_worlds(self, count: int) -> RailWorlds:
        """Carriages that step together."""
        return RailWorlds(count)


def make_family() -> RailFamily:
    """Builds the family: the factory that `pitaya train` and bundles name."""
    return RailFamily()
