# SPDX-License-Identifier: Apache-2.0
"""Evaluates a bundle in process, by the paper's protocol, through the very adapter that runs on a robot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import BundleError, InvalidValueError
from meta_rl_core.runtime.adapter import Adapter, Exploration, Sampling
from meta_rl_core.runtime.context import Transition
from meta_rl_core.tasks import FamilySpec, Judgement, TaskFamily, Worlds

if TYPE_CHECKING:
    from meta_rl_core.bundle import Bundle

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Protocol:
    """How each task is met.

    Attributes:
        episodes: Episodes per task; the last one is the score.
        exploration_episodes: How many of them act on a prior sample.
        sampling: Whether later ones act on a posterior sample (the paper) or on the posterior mean; or, as a control,
            every episode on a sample of the prior.
        seed: Decides every start state and every sampled z.
        exploration: What the first episodes act on; None takes what the bundle offers (see `Adapter`).
        hypotheses_per_episode: How many hypotheses each of them tries; None takes what the bundle says.
    """

    episodes: int = 3
    exploration_episodes: int = 2
    sampling: Sampling | Literal["prior"] = "sample"
    seed: int = 0
    exploration: Exploration | None = None
    hypotheses_per_episode: int | None = None

    def __post_init__(self) -> None:
        """Checks that at least one episode follows exploration.

        Raises:
            InvalidValueError: If not, the seed is negative, or a control on the prior should explore otherwise.
        """
        if not 0 <= self.exploration_episodes < self.episodes:
            raise InvalidValueError(
                f"exploration_episodes must lie in [0, episodes), so that at least one episode is adapted; "
                f"got {self.exploration_episodes} of {self.episodes} episodes"
            )
        if self.seed < 0:
            raise InvalidValueError(f"seed must not be negative, got {self.seed}")
        if self.sampling == "prior" and self.exploration not in (None, "prior"):
            raise InvalidValueError(
                f"sampling 'prior' acts on samples of the prior throughout; leave out exploration, got "
                f"{self.exploration!r}"
            )

    @property
    def unadapted_episodes(self) -> int:
        """How many episodes come before the belief is acted on: all of them for the control on the prior."""
        return self.episodes if self.sampling == "prior" else self.exploration_episodes

    def make_adapter(self, bundle: Bundle, seed: int) -> Adapter:
        """The adapter that meets one task by this protocol."""
        if self.sampling == "prior":
            return Adapter(bundle, seed, "sample", self.episodes, "prior")
        return Adapter(
            bundle,
            seed,
            self.sampling,
            self.exploration_episodes,
            self.exploration,
            self.hypotheses_per_episode,
        )


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """What happened, per task (row) and episode (column); N tasks, E episodes.

    Attributes:
        returns: Undiscounted sum of the dense reward, shape (N, E).
        sparse_returns: Undiscounted sum of the sparse reward, shape (N, E).
        final_error: Distance to the goal at the episode's last step, in the family's unit, shape (N, E).
        success: Whether the episode's last step counts as solved, shape (N, E).
        env_steps: Steps taken in all worlds together.
        tasks: Task parameters, shape (N, K).
    """

    returns: Array
    sparse_returns: Array
    final_error: Array
    success: NDArray[np.bool_]
    env_steps: int
    tasks: Array


def check_family(bundle: Bundle, spec: FamilySpec) -> None:
    """Checks that a family still is what the policy was trained for.

    Raises:
        BundleError: Naming the first thing that differs.
    """
    manifest = bundle.manifest
    expected = {
        "family": (manifest.family, spec.name),
        "observation_dim": (manifest.observation_dim, spec.observation_dim),
        "action_dim": (manifest.action_dim, spec.action_dim),
        "signal_names": (manifest.reward.signal_names, spec.signal_names),
        "task_names": (manifest.reward.task_names, spec.task_names),
        "context_reward": (manifest.reward.context_reward, spec.context_reward),
        "horizon": (manifest.horizon, spec.horizon),
        "period_s": (manifest.period_s, spec.period_s),
        "robot": (manifest.robot, spec.robot),
    }
    for name, (trained, present) in expected.items():
        if trained != present:
            raise BundleError(
                f"bundle {bundle.path} was trained with {name} {trained}; the family has {present}"
            )


def evaluate_bundle(bundle: Bundle, family: TaskFamily, tasks: Array, protocol: Protocol) -> EvaluationResult:
    """Meets every task afresh for some episodes, adapting as it goes.

    Each task has a random stream of its own, so its outcome does not depend on how many others are evaluated.

    Args:
        bundle: The policy.
        family: The family it was trained for.
        tasks: Task parameters, shape (N, K).
        protocol: How each task is met.

    Raises:
        BundleError: If bundle and family do not fit.
        InvalidValueError: If there is no task.
    """
    check_family(bundle, family.spec)
    tasks = np.asarray(tasks, dtype=np.float64)
    if tasks.ndim != 2 or len(tasks) == 0:
        raise InvalidValueError(f"tasks must have shape (N, K) with N at least 1, got {tasks.shape}")
    streams = [np.random.SeedSequence((protocol.seed, index)) for index in range(len(tasks))]
    seeds = np.array(
        [stream.generate_state(1 + protocol.episodes, np.uint64) >> np.uint64(1) for stream in streams]
    )
    adapters = [protocol.make_adapter(bundle, int(seed)) for seed in seeds[:, 0]]
    worlds = family.make_worlds(len(tasks))
    episodes = [
        _run_episode(adapters, worlds, family, tasks, seeds[:, 1 + episode].astype(np.int64))
        for episode in range(protocol.episodes)
    ]
    return EvaluationResult(
        returns=np.stack([episode.returns for episode in episodes], axis=1),
        sparse_returns=np.stack([episode.sparse_returns for episode in episodes], axis=1),
        final_error=np.stack([episode.final_error for episode in episodes], axis=1),
        success=np.stack([episode.success for episode in episodes], axis=1),
        env_steps=sum(episode.steps for episode in episodes),
        tasks=tasks,
    )


class _Episode:
    """Sums and last values of one episode in every world."""

    def __init__(self, count: int) -> None:
        self.returns: Array = np.zeros(count)
        self.sparse_returns: Array = np.zeros(count)
        self.final_error: Array = np.full(count, np.nan)
        self.success: NDArray[np.bool_] = np.zeros(count, dtype=np.bool_)
        self.alive: NDArray[np.bool_] = np.ones(count, dtype=np.bool_)
        self.steps = 0

    def add(self, judgement: Judgement, terminal: NDArray[np.bool_]) -> None:
        """Counts one step in the worlds that have not ended."""
        alive = self.alive
        self.returns[alive] += judgement.reward[alive]
        self.sparse_returns[alive] += judgement.sparse_reward[alive]
        self.final_error[alive] = judgement.error[alive]
        self.success[alive] = judgement.success[alive]
        self.steps += int(alive.sum())
        self.alive = alive & ~terminal


def _run_episode(
    adapters: list[Adapter], worlds: Worlds, family: TaskFamily, tasks: Array, seeds: NDArray[np.int64]
) -> _Episode:
    episode = _Episode(len(adapters))
    for adapter in adapters:
        adapter.begin_episode()
    observation = worlds.reset(tasks, seeds)
    for _ in range(family.spec.horizon):
        if not episode.alive.any():
            break
        actions = np.zeros((len(adapters), family.spec.action_dim))
        for index in np.flatnonzero(episode.alive):
            actions[index] = adapters[index].act(observation[index])
        step = worlds.step(actions)
        judgement = family.reward_model.judge(step.signals, actions, tasks)
        context_reward = (
            judgement.sparse_reward if family.spec.context_reward == "sparse" else judgement.reward
        )
        for index in np.flatnonzero(episode.alive):
            transition = Transition(
                observation[index], actions[index], float(context_reward[index]), step.observation[index]
            )
            adapters[index].observe(transition)
        episode.add(judgement, step.terminal)
        observation = step.observation
    return episode
