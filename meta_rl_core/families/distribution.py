# SPDX-License-Identifier: Apache-2.0
"""Task distributions that families share: a few tasks and no more, or a training list and ever fresh draws."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families.drawing import checked_count, draw_apart, heldout_generator

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Array]
"""Makes n tasks, shape (n, K)."""
Distance = Callable[[Array, Array], Array]
"""How far tasks (n, 1, K) lie from tasks (m, K), shape (n, m)."""
LEAST_TASK_DISTANCE = 1e-3


def largest_difference(one: Array, other: Array) -> Array:
    """The largest difference in any parameter."""
    return np.asarray(np.abs(one - other).max(axis=-1))


def angle_between(one: Array, other: Array) -> Array:
    """The angle between directions given as angles [rad], in [0, pi]."""
    return np.asarray(np.abs((one - other + np.pi) % (2.0 * np.pi) - np.pi)[..., 0])


class TaskDistribution(ABC):
    """Which tasks a family trains on, which it keeps back, and how fresh ones are drawn.

    Attributes:
        reserved_count: How many held-out tasks are a published list, which comes before fresh ones.
    """

    reserved_count: int = 0

    @abstractmethod
    def training(self) -> Array:
        """The fixed training tasks, shape (n, K), the caller's own."""

    @abstractmethod
    def heldout(self, count: int, seed: int) -> Array:
        """Tasks to evaluate on, shape (count, K); the first k of n are those that k alone would give.

        Raises:
            InvalidValueError: If count or seed is negative.
        """

    @abstractmethod
    def sample(self, count: int, generator: np.random.Generator) -> Array:
        """Fresh draws, shape (count, K)."""


class FiniteTasks(TaskDistribution):
    """A handful of tasks, all of them trained on and evaluated on, as PEARL's two-direction families are."""

    def __init__(self, tasks: Array) -> None:
        """Takes over all tasks there are, shape (n, K)."""
        self._tasks = np.array(tasks, dtype=np.float64)

    def training(self) -> Array:
        """All tasks, shape (n, K)."""
        return self._tasks.copy()

    def heldout(self, count: int, seed: int) -> Array:
        """All tasks in an order the seed decides, again and again, shape (count, K).

        Raises:
            InvalidValueError: If count or seed is negative.
        """
        generator, rounds = heldout_generator(seed), -(-checked_count(count) // len(self._tasks))
        order = [generator.permutation(len(self._tasks)) for _ in range(rounds)]
        return self._tasks[np.concatenate([np.zeros(0, dtype=np.intp), *order])[:count]]

    def sample(self, count: int, generator: np.random.Generator) -> Array:
        """Any of the tasks with equal chance, shape (count, K)."""
        return self._tasks[generator.integers(len(self._tasks), size=count)]


class DrawnTasks(TaskDistribution):
    """A training list, and held-out tasks that keep their distance from it."""

    def __init__(
        self,
        training: Array,
        draw: Draw,
        *,
        reserved: Array | None = None,
        distance: Distance = largest_difference,
    ) -> None:
        """Takes over the lists.

        Args:
            training: The training tasks, shape (n, K).
            draw: Draws fresh tasks.
            reserved: Published held-out tasks, shape (m, K), which come before fresh ones.
            distance: Held-out tasks lie at least 1e-3 from every training task by this measure.
        """
        self._training = np.array(training, dtype=np.float64)
        self._reserved = self._training[:0] if reserved is None else np.array(reserved, dtype=np.float64)
        self.reserved_count = len(self._reserved)
        self._draw = draw
        self._distance = distance

    def training(self) -> Array:
        """The training tasks, shape (n, K)."""
        return self._training.copy()

    def heldout(self, count: int, seed: int) -> Array:
        """The reserved tasks in an order the seed decides, then fresh ones, shape (count, K).

        Raises:
            InvalidValueError: If count or seed is negative.
        """
        generator = heldout_generator(seed)
        shuffled = generator.permutation(self._reserved)
        fresh = max(0, checked_count(count) - len(shuffled))
        return np.concatenate([shuffled, draw_apart(fresh, generator, self._draw, self._too_close)])[:count]

    def sample(self, count: int, generator: np.random.Generator) -> Array:
        """Fresh draws, shape (count, K)."""
        return self._draw(generator, count)

    def _too_close(self, tasks: Array) -> NDArray[np.bool_]:
        distance = self._distance(tasks[:, None], self._training)
        return np.asarray(distance.min(axis=-1) < LEAST_TASK_DISTANCE)
