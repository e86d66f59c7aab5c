# SPDX-License-Identifier: Apache-2.0
"""Robots that adapt to one task each, many at once, with everything that their beliefs are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.belief import TaskBelief
from meta_rl_core.errors import ContractError
from meta_rl_core.runtime.context import Transition, context_row
from meta_rl_core.runtime.hypotheses import covering_hypotheses
from meta_rl_core.runtime.inference import deterministic_action, gaussian_factor
from meta_rl_core.tasks import TaskFamily, Worlds

if TYPE_CHECKING:
    from meta_rl_core.bundle import Bundle

Array = NDArray[np.float64]
EXPLORING = 2
TOGETHER = 100
"""Worlds that step at once."""
_SEED_LIMIT = 2**31


@dataclass(frozen=True, eq=False)
class Lives:
    """What N robots lived through in T steps, episode after episode.

    Attributes:
        tasks: Task parameters, shape (N, K).
        observation: Shape (N, T, O).
        action: Shape (N, T, A).
        reward: Context reward, shape (N, T).
        next_observation: Shape (N, T, O).
        signals: What the reward was judged on, shape (N, T, S).
        precision: Evidence precision of the belief before each step and after the last, shape (N, T + 1, latent).
        precision_mean: The same times mean, shape (N, T + 1, latent).
        prior_in_product: Whether N(0, I) is a factor of the beliefs.
    """

    tasks: Array
    observation: Array
    action: Array
    reward: Array
    next_observation: Array
    signals: Array
    precision: Array
    precision_mean: Array
    prior_in_product: bool

    def belief(self, robot: int, step: int) -> TaskBelief:
        """What a robot believed before a step."""
        return TaskBelief(
            self.precision[robot, step], self.precision_mean[robot, step], step, self.prior_in_product
        )

    def transition(self, robot: int, step: int) -> Transition:
        """One step of a robot."""
        return Transition(
            self.observation[robot, step],
            self.action[robot, step],
            float(self.reward[robot, step]),
            self.next_observation[robot, step],
        )

    def mean_and_variance(self, robots: NDArray[np.int64], steps: NDArray[np.int64]) -> tuple[Array, Array]:
        """Of the beliefs before some steps, each (n, latent)."""
        own = 1.0 if self.prior_in_product else 0.0
        precision = self.precision[robots, steps] + np.where(steps == 0, 1.0, own)[:, np.newaxis]
        return self.precision_mean[robots, steps] / precision, 1.0 / precision


def live(
    bundle: Bundle, family: TaskFamily, tasks: Array, episodes: int, generator: np.random.Generator
) -> Lives:
    """Lets a policy adapt to each of N tasks by the paper's protocol, all of them at once.

    Args:
        bundle: The policy.
        family: Its family.
        tasks: Shape (N, K).
        episodes: How many; the first two explore.
        generator: Draws start states and hypotheses.

    Raises:
        ContractError: If a world ends before the horizon.
    """
    manifest, count = bundle.manifest, len(tasks)
    worlds = family.make_worlds(count)
    steps = [
        step
        for episode in _episodes(bundle, count, episodes, generator)
        for step in episode.run(worlds, family, tasks, generator.integers(_SEED_LIMIT, size=count))
    ]
    columns = [np.stack(column, axis=1) for column in zip(*steps, strict=True)]
    zero = np.zeros((count, 1, manifest.latent_dim))
    sums = [np.concatenate([zero, np.cumsum(column, axis=1)], axis=1) for column in columns[5:]]
    return Lives(
        tasks=tasks,
        observation=columns[0],
        action=columns[1],
        reward=columns[2],
        next_observation=columns[3],
        signals=columns[4],
        precision=sums[0],
        precision_mean=sums[1],
        prior_in_product=manifest.prior_in_product,
    )


def live_many(bundle: Bundle, family: TaskFamily, tasks: Array, episodes: int, seed: int) -> list[Lives]:
    """Lets a policy adapt to many tasks, some at a time.

    Raises:
        ContractError: If the family's tasks change how worlds move: a reward cannot be judged anew there.
    """
    if family.changes_dynamics:
        raise ContractError(
            f"tasks of {family.spec.name!r} change how its worlds move, so the same motion cannot be rewarded under "
            "another task"
        )
    generator = np.random.Generator(np.random.PCG64(seed))
    return [
        live(bundle, family, tasks[first : first + TOGETHER], episodes, generator)
        for first in range(0, len(tasks), TOGETHER)
    ]


def joined(lives: list[Lives]) -> Lives:
    """All robots in one."""
    names = [name for name in Lives.__dataclass_fields__ if name != "prior_in_product"]
    arrays = {name: np.concatenate([getattr(life, name) for life in lives]) for name in names}
    return replace(lives[0], **arrays)


class _Episodes:
    """The beliefs of all robots while they live."""

    def __init__(self, bundle: Bundle, count: int) -> None:
        self.bundle, self.actor, self.encoder = bundle, bundle.actor(), bundle.encoder()
        self.steps = 0
        self.precision: Array = np.zeros((count, bundle.manifest.latent_dim))
        self.precision_mean: Array = np.zeros_like(self.precision)
        self.z: Array = self.precision

    def run(
        self, worlds: Worlds, family: TaskFamily, tasks: Array, seeds: NDArray[np.int64]
    ) -> Iterator[tuple[Array, ...]]:
        """One episode on the present z; for each step what `Lives` lists, then precision and precision x mean."""
        manifest = self.bundle.manifest
        sparse = manifest.reward.context_reward == "sparse"
        observation = worlds.reset(tasks, seeds)
        for _ in range(manifest.horizon):
            action = deterministic_action(self.actor.batch(np.concatenate([observation, self.z], axis=1)))
            step = worlds.step(action)
            if step.terminal.any():
                raise ContractError(
                    f"worlds of {family.spec.name!r} end before the horizon; a change of the task can be learnt only "
                    "where every episode runs to its end"
                )
            judged = family.reward_model.judge(step.signals, action, tasks)
            reward = judged.sparse_reward if sparse else judged.reward
            following = step.observation if manifest.next_observation_in_context else None
            row = context_row(observation, action, reward, following, manifest.reward_scale_in_context)
            mean, variance = gaussian_factor(self.encoder.batch(row))
            self.precision, self.precision_mean = (
                self.precision + 1.0 / variance,
                self.precision_mean + mean / variance,
            )
            self.steps += 1
            yield observation, action, reward, step.observation, step.signals, 1.0 / variance, mean / variance
            observation = step.observation


def _episodes(
    bundle: Bundle, count: int, episodes: int, generator: np.random.Generator
) -> Iterator[_Episodes]:
    """The same robots at the beginning of each episode, with the z they act on."""
    robots, known = _Episodes(bundle, count), bundle.hypotheses
    latent, own = bundle.manifest.latent_dim, bundle.manifest.prior_in_product
    for episode in range(episodes):
        if episode >= EXPLORING:
            robots.z = np.stack(
                [
                    TaskBelief(*sums, robots.steps, own).sample(generator)
                    for sums in zip(robots.precision, robots.precision_mean, strict=True)
                ]
            )
        elif known is None:
            robots.z = generator.standard_normal((count, latent))
        else:
            robots.z = np.tile(covering_hypotheses(known, EXPLORING)[episode], (count, 1))
        yield robots
