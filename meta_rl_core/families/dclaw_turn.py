# SPDX-License-Identifier: Apache-2.0
"""D'Claw turns a valve to a hidden angle: interface, tasks and ROBEL's Turn reward (arXiv 1909.11639)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families.drawing import TRAINING_SEED, draw_apart, heldout_generator
from meta_rl_core.families.rows import checked_rows, sum_of_squares
from meta_rl_core.runtime.action import JointPositionAction
from meta_rl_core.runtime.robot_interface import RobotInterface
from meta_rl_core.runtime.terms import Term
from meta_rl_core.tasks import FamilySpec, Judgement, RewardModel

Array = NDArray[np.float64]

CLAW_JOINTS = tuple(f"{finger}_joint{number}" for finger in ("ff", "mf", "th") for number in range(3))
VALVE_JOINT = "valve_joint"
RESET_POSE_RAD = np.tile([0.0, -np.pi / 3, np.pi / 3], 3)
RESET_POSE_RAD.flags.writeable = False
PERIOD_S = 0.1
HORIZON = 40
MAX_SPEED_RAD_S = 2.0 * np.pi / 3.0
TRAINING_COUNT = 100
LEAST_TASK_DISTANCE_RAD = 1e-3

LOW_RAD = np.tile([-0.45 + np.radians(5.0), -np.pi / 3, -np.pi / 2], 3)
HIGH_RAD = np.tile([0.48, np.pi / 3, np.pi / 2], 3)
"""Commands stay 5 degrees inside every mechanical stop; elsewhere these are ROBEL's limits."""
_VELOCITY_SCALE = 0.2
_ERROR_WEIGHT = 5.0
_SLOW_RAD_S = 0.5
_NEAR_RAD, _NEAR_BONUS = 0.25, 10.0
_SOLVED_RAD, _SOLVED_BONUS = 0.1, 50.0


def wrap_angle(angle_rad: Array) -> Array:
    """The same angle in [-pi, pi)."""
    return np.asarray((angle_rad + np.pi) % (2.0 * np.pi) - np.pi)


def make_robot() -> RobotInterface:
    """What a D'Claw must offer: nine finger joints commanded, ten joints measured, ten steps a second.

    The observation holds finger positions [rad], finger velocities [rad/s, times 0.2], cosine and sine of the
    valve and the last action: 29 numbers, none of which knows the target.
    """
    action = JointPositionAction(
        joints=CLAW_JOINTS,
        center=(LOW_RAD + HIGH_RAD) / 2.0,
        half_range=(HIGH_RAD - LOW_RAD) / 2.0,
        low=LOW_RAD,
        high=HIGH_RAD,
        max_step=np.full(9, MAX_SPEED_RAD_S * PERIOD_S),
    )
    terms = (
        Term("position", CLAW_JOINTS),
        Term("velocity", CLAW_JOINTS, _VELOCITY_SCALE),
        Term("cos", (VALVE_JOINT,)),
        Term("sin", (VALVE_JOINT,)),
        Term("last_action"),
    )
    return RobotInterface(observation_terms=terms, action=action, period_s=PERIOD_S, horizon=HORIZON)


class DClawTurnReward(RewardModel):
    """ROBEL's Turn reward, row by row.

    reward = -5 |error| - ||claw - reset pose|| - ||claw velocities of at least 0.5 rad/s||
             + 10 [|error| < 0.25] + 50 [|error| < 0.1], with error = wrap(target - valve).
    The sparse reward is the two bonuses alone.
    """

    name = "dclaw-turn"
    signal_terms = (
        Term("position", CLAW_JOINTS),
        Term("velocity", CLAW_JOINTS),
        Term("position", (VALVE_JOINT,)),
    )
    signal_names = (
        *(f"{joint}_position_rad" for joint in CLAW_JOINTS),
        *(f"{joint}_velocity_rad_s" for joint in CLAW_JOINTS),
        "valve_position_rad",
    )
    task_names = ("target_rad",)

    def judge(self, signals: Array, actions: Array, tasks: Array) -> Judgement:
        """Judges steps row by row; leading shapes of signals and tasks broadcast, the action plays no part.

        Args:
            signals: Shape (..., 19): claw positions [rad], claw velocities [rad/s], valve position [rad].
            actions: Shape (..., 9).
            tasks: Shape (..., 1): target angle [rad].

        Returns:
            Rewards; error is |wrap(target - valve)| [rad], success an error below 0.1 rad.

        Raises:
            InvalidValueError: If a last dimension is wrong.
        """
        signals = checked_rows("signals", signals, len(self.signal_names))
        tasks = checked_rows("tasks", tasks, len(self.task_names))
        offset = signals[..., :9] - RESET_POSE_RAD
        speed = signals[..., 9:18]
        fast = np.where(np.abs(speed) >= _SLOW_RAD_S, speed, 0.0)
        penalty = np.sqrt(sum_of_squares(offset)) + np.sqrt(sum_of_squares(fast))
        error = np.abs(wrap_angle(tasks[..., 0] - signals[..., 18]))
        success = error < _SOLVED_RAD
        sparse_reward = _NEAR_BONUS * (error < _NEAR_RAD) + _SOLVED_BONUS * success
        return Judgement(sparse_reward - _ERROR_WEIGHT * error - penalty, sparse_reward, error, success)


def make_spec(name: str, *, sparse: bool) -> FamilySpec:
    """The family's sizes and meaning; `sparse` decides which reward the encoder sees."""
    robot = make_robot()
    return FamilySpec(
        name=name,
        observation_dim=robot.observation_dim,
        action_dim=robot.action_dim,
        signal_names=DClawTurnReward.signal_names,
        task_names=DClawTurnReward.task_names,
        horizon=HORIZON,
        period_s=PERIOD_S,
        context_reward="sparse" if sparse else "dense",
        robot=robot,
    )


def sample_targets(count: int, generator: np.random.Generator) -> Array:
    """Targets uniform on the circle [rad], shape (count, 1)."""
    return generator.uniform(-np.pi, np.pi, size=(count, 1))


def training_targets() -> Array:
    """The 100 training targets [rad], shape (100, 1); always the same."""
    return sample_targets(TRAINING_COUNT, np.random.Generator(np.random.PCG64(TRAINING_SEED)))


def heldout_targets(count: int, seed: int) -> Array:
    """Targets [rad] at least 1e-3 rad from every training target, shape (count, 1).

    Raises:
        InvalidValueError: If count or seed is negative.
    """
    known = training_targets()[:, 0]

    def too_close(tasks: Array) -> NDArray[np.bool_]:
        distance = np.abs(wrap_angle(tasks - known))
        return np.asarray(distance.min(axis=-1) < LEAST_TASK_DISTANCE_RAD)

    return draw_apart(
        count, heldout_generator(seed), lambda generator, n: sample_targets(n, generator), too_close
    )
