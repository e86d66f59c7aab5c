# SPDX-License-Identifier: Apache-2.0
"""Every task family as a Gymnasium environment; importing this module registers the shipped ones."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.families import dclaw_turn, locomotion, point_robot
from meta_rl_core.registry import load_family
from meta_rl_core.tasks import Judgement, TaskFamily
from sim_bridge.checks import checked_array

Array = NDArray[np.float64]
_RENDER_MODE = "rgb_array"
_LARGEST_SEED = 2**63 - 1

_LOCOMOTION = "sim_bridge.locomotion.families"

# Named by module, so that they work from a source tree that is not installed.
SHIPPED = {
    "pitaya/AntDir-v0": (f"{_LOCOMOTION}:make_ant_dir", locomotion.HORIZON),
    "pitaya/AntGoal-v0": (f"{_LOCOMOTION}:make_ant_goal", locomotion.HORIZON),
    "pitaya/CheetahDir-v0": (f"{_LOCOMOTION}:make_cheetah_dir", locomotion.HORIZON),
    "pitaya/CheetahVel-v0": (f"{_LOCOMOTION}:make_cheetah_vel", locomotion.HORIZON),
    "pitaya/DClawTurn-v0": ("sim_bridge.dclaw.families:make_dclaw_turn", dclaw_turn.HORIZON),
    "pitaya/DClawTurnDynamics-v0": ("sim_bridge.dclaw.families:make_dclaw_turn_dynamics", dclaw_turn.HORIZON),
    "pitaya/DClawTurnSparse-v0": ("sim_bridge.dclaw.families:make_dclaw_turn_sparse", dclaw_turn.HORIZON),
    "pitaya/HopperParams-v0": (f"{_LOCOMOTION}:make_hopper_params", locomotion.HORIZON),
    "pitaya/HumanoidDir-v0": (f"{_LOCOMOTION}:make_humanoid_dir", locomotion.HORIZON),
    "pitaya/WalkerParams-v0": (f"{_LOCOMOTION}:make_walker_params", locomotion.HORIZON),
    "pitaya/PointRobot-v0": ("sim_bridge.point.families:make_point_robot", point_robot.HORIZON),
    "pitaya/SparsePointRobot-v0": ("sim_bridge.point.families:make_sparse_point_robot", point_robot.HORIZON),
}


@runtime_checkable
class Drawable(Protocol):
    """Worlds that can show themselves."""

    def draw(self, world: int, task: Array) -> NDArray[np.uint8]:
        """A picture of one world, shape (height, width, 3)."""


class TaskFamilyEnv(gymnasium.Env[Array, Array]):
    """One world of a task family.

    The task is hidden: it changes rewards, never the observation. `info` of each step holds `sparse_reward`,
    `error` and `success`; `info` of a reset holds the `task`. To adapt over several episodes of one task,
    pass it on: `env.reset(options={"task": info["task"]})`.
    """

    metadata: dict[str, Any] = {"render_modes": [_RENDER_MODE]}  # noqa: RUF012 - Gymnasium's interface

    def __init__(
        self, family: str | TaskFamily, task: ArrayLike | None = None, render_mode: str | None = None
    ) -> None:
        """Builds one world.

        Args:
            family: A registered name, 'package.module:factory', or a family.
            task: Task parameters, shape (K,), for every episode; by default each reset draws a fresh task.
            render_mode: `rgb_array` where the family's worlds can be drawn, or None.

        Raises:
            UnknownNameError: If there is no such family.
            InvalidValueError: If the task has the wrong shape or the render mode is not available.
            NonFiniteError: If the task is NaN or infinite.
        """
        self.family = load_family(family) if isinstance(family, str) else family
        self._worlds = self.family.make_worlds(1)
        modes = [_RENDER_MODE] if isinstance(self._worlds, Drawable) else []
        if render_mode is not None and render_mode not in modes:
            raise InvalidValueError(
                f"render_mode must be None or one of {modes} for {self.family.spec.name}, got {render_mode!r}"
            )
        self.metadata = {"render_modes": modes, "render_fps": round(1.0 / (self.family.spec.period_s or 0.1))}
        self.render_mode = render_mode
        self.observation_space = spaces.Box(-np.inf, np.inf, (self.family.spec.observation_dim,), np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (self.family.spec.action_dim,), np.float64)
        self._fixed_task = None if task is None else self._checked_task(task)
        self._task: Array = np.zeros(len(self.family.spec.task_names))

    @property
    def task(self) -> Array:
        """The present task parameters, shape (K,), a copy."""
        return self._task.copy()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Starts an episode.

        Args:
            seed: Fixes task and start of this episode and of those that follow.
            options: `task`: task parameters, shape (K,), for this episode.

        Raises:
            InvalidValueError: If an option is unknown or the task has the wrong shape.
            NonFiniteError: If the task is NaN or infinite.
        """
        options = dict(options or {})
        given = options.pop("task", None)
        if options:
            raise InvalidValueError(f"the only reset option is 'task', got {', '.join(map(repr, options))}")
        chosen = self._fixed_task if given is None else self._checked_task(given)
        super().reset(seed=seed)
        # Drawn in any case, so that naming the task does not change how the world starts.
        drawn = self.family.sample_tasks(1, self.np_random)[0]
        self._task = drawn if chosen is None else chosen
        world_seeds = self.np_random.integers(_LARGEST_SEED, size=1)
        return self._worlds.reset(self._task[None], world_seeds)[0], {"task": self.task}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Advances by one policy step.

        Raises:
            InvalidValueError: If the action has the wrong shape.
            NonFiniteError: If it is NaN or infinite; nothing moves.
        """
        action = checked_array("action", action, self.action_space.shape or ())
        step = self._worlds.step(action[None])
        judged: Judgement = self.family.reward_model.judge(step.signals, action[None], self._task[None])
        info = {
            "sparse_reward": float(judged.sparse_reward[0]),
            "error": float(judged.error[0]),
            "success": bool(judged.success[0]),
        }
        return step.observation[0], float(judged.reward[0]), bool(step.terminal[0]), False, info

    def render(self) -> NDArray[np.uint8] | None:
        """A picture of the scene with the target marked, or None without a render mode.

        Raises:
            SimulationError: If this machine cannot draw.
        """
        if self.render_mode is None or not isinstance(self._worlds, Drawable):
            return None
        return self._worlds.draw(0, self._task)

    def _checked_task(self, task: ArrayLike) -> Array:
        return checked_array("task", task, (len(self.family.spec.task_names),)).copy()


def register_envs() -> None:
    """Registers the shipped families with Gymnasium; doing it twice changes nothing."""
    for env_id, (factory, horizon) in SHIPPED.items():
        if env_id not in gymnasium.registry:
            gymnasium.register(
                env_id,
                entry_point="sim_bridge.gym_env:TaskFamilyEnv",
                max_episode_steps=horizon,
                kwargs={"family": factory},
            )


register_envs()
