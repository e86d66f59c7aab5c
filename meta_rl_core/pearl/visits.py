# SPDX-License-Identifier: Apache-2.0
"""Visits for hindsight task relabelling: which stored episodes may serve as whose context.

A visit is what a robot lives through on one task: prior episodes (z from the prior, hence independent of the
task), then posterior episodes. Prior episodes are honest context for ANY task once their reward is recomputed;
posterior episodes only for the visit's own task, since the behaviour already depends on it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.pearl.episodes import Episodes
from meta_rl_core.pearl.replay import TransitionStore
from meta_rl_core.tasks import Array, FamilySpec, TaskFamily

Index = NDArray[np.int64]
FURTHER_TASKS_STREAM = 0xF0E


def known_tasks(family: TaskFamily, further: int, seed: int) -> Array:
    """Tasks that transitions may be relabelled to, shape (n + further, K).

    First the n training tasks, which are visited, then fresh draws of the same distribution, which nobody visits.
    """
    listed = family.training_tasks()
    if not further:
        return listed
    generator = np.random.Generator(np.random.PCG64([seed, FURTHER_TASKS_STREAM]))
    return np.concatenate([listed, family.sample_tasks(further, generator)])


class ContextDraw(NamedTuple):
    """Contexts and the tasks they speak of."""

    tasks: Index
    """Training task of each row, shape (T,)."""
    rows: Tensor
    """Store rows, shape (T, C)."""
    relabelled: NDArray[np.bool_]
    """Where any task would have done, shape (T,)."""


class RelabelledReplay:
    """Every transition serves every task; contexts come from recent visits."""

    def __init__(
        self,
        spec: FamilySpec,
        capacity: int,
        window: int,
        device: str | torch.device = "cpu",
        *,
        in_order: bool = False,
    ) -> None:
        """Keeps the newest `window` visits as sources of context; `in_order` draws stretches in order of time."""
        self.store = TransitionStore(spec, capacity, device)
        self.window = window
        self.in_order = in_order
        self.tasks: list[int] = []
        self.episodes: list[list[Index]] = []
        """Serial numbers, visit by visit and episode by episode."""
        self.prior_counts: list[int] = []

    def add_visits(self, episodes: list[Episodes], tasks: Index, prior_episodes: int) -> None:
        """Stores the episodes of N worlds, in the order lived; the first `prior_episodes` acted on prior z."""
        serials: list[list[Index]] = [[] for _ in tasks]
        for episode in episodes:
            stored = self.store.append(episode)
            ends = np.cumsum(episode.valid.sum(axis=1))
            for world, part in enumerate(np.split(stored, ends[:-1])):
                serials[world].append(part)
        self.tasks.extend(int(task) for task in tasks)
        self.episodes.extend(serials)
        self.prior_counts.extend([prior_episodes] * len(tasks))
        for kept in (self.tasks, self.episodes, self.prior_counts):
            del kept[: -self.window]
        self._drop_overwritten()

    def _drop_overwritten(self) -> None:
        """A visit goes as soon as its first transition does.

        Raises:
            InvalidValueError: If the replay cannot hold even one.
        """
        begins = [next(int(part[0]) for part in visit if len(part)) for visit in self.episodes]
        gone = int(np.searchsorted(begins, self.store.oldest))
        for kept in (self.tasks, self.episodes, self.prior_counts):
            del kept[:gone]
        if not self.tasks:
            raise InvalidValueError(
                f"replay_capacity {self.store.capacity} is less than one iteration collects; set it several times as "
                "large"
            )

    def draw_contexts(
        self, count: int, size: int, training_tasks: int, generator: np.random.Generator
    ) -> ContextDraw:
        """Contexts for `count` tasks of `size` transitions each, drawn with replacement from the newest visits.

        Half of the rows relabel a prior prefix to a random training task, half continue a visit on its own task.
        """
        tasks = generator.integers(training_tasks, size=count)
        rows = np.empty((count, size), np.int64)
        relabelled = generator.random(count) >= 0.5
        for index in range(count):
            visit = int(generator.integers(len(self.tasks)))
            available = self.prior_counts[visit]
            if not relabelled[index]:
                tasks[index] = self.tasks[visit]
                available = len(self.episodes[visit])
            length = int(generator.integers(1, available + 1))
            pool = np.concatenate(self.episodes[visit][:length])
            rows[index] = self.store.draw(pool, size, generator, in_order=self.in_order)
        return ContextDraw(tasks, torch.from_numpy(rows), relabelled)

    def draw_early(self, count: int, size: int, generator: np.random.Generator) -> Tensor:
        """Rows (count, size) of prior prefixes of the newest visits: context of any task, before it was known."""
        rows = np.empty((count, size), np.int64)
        for index in range(count):
            visit = int(generator.integers(len(self.tasks)))
            length = int(generator.integers(1, self.prior_counts[visit] + 1))
            pool = np.concatenate(self.episodes[visit][:length])
            rows[index] = self.store.draw(pool, size, generator, in_order=self.in_order)
        return torch.from_numpy(rows)

    def draw_rl(self, shape: tuple[int, int], generator: np.random.Generator) -> Tensor:
        """Rows drawn uniformly from the whole store."""
        return torch.from_numpy(generator.integers(self.store.size, size=shape))
