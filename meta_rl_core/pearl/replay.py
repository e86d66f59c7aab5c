# SPDX-License-Identifier: Apache-2.0
"""Replay: one flat ring of transitions as tensors, indexed per task or per visit.

Two ways to draw from it. `TaskReplay` keeps the paper's books: an RL set per task that is never cleared and a
context set per task that is cleared whenever the task is visited again. `RelabelledReplay` keeps none: every
transition serves every task, its reward recomputed from the measured signals.

Books hold serial numbers, counted from the first transition ever stored: a place in the ring is used again and again,
and a book that held places would come to hold other tasks' transitions once the ring has gone round.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.pearl.episodes import Episodes
from meta_rl_core.pearl.sequences import draw_places, draw_stretch
from meta_rl_core.tasks import FamilySpec

FIELDS = ("observation", "action", "next_observation", "signals", "reward", "sparse_reward", "terminal")
FIRST_STEP = "first_step"


class TransitionStore:
    """A ring of transitions; the oldest are overwritten when it is full."""

    def __init__(self, spec: FamilySpec, capacity: int, device: str | torch.device = "cpu") -> None:
        """Reserves room for `capacity` transitions on `device` (on a CPU virtual until filled)."""
        self.device = device
        self.capacity = capacity
        self.size = 0
        self.total = 0
        widths = {
            "observation": (spec.observation_dim,),
            "action": (spec.action_dim,),
            "next_observation": (spec.observation_dim,),
            "signals": (len(spec.signal_names),),
        }
        self.columns: dict[str, Tensor] = {
            name: torch.zeros((capacity, *widths.get(name, ())), dtype=torch.float32, device=device)
            for name in FIELDS
        }
        self.first_step: NDArray[np.bool_] = np.zeros(capacity, dtype=np.bool_)
        """Whether a transition is the first of its episode."""

    def append(self, episodes: Episodes) -> NDArray[np.int64]:
        """Stores every valid transition, world by world, in order.

        Returns:
            Their serial numbers, flattened over (world, step) of the valid ones.
        """
        valid = episodes.valid
        serials = self.total + np.arange(int(valid.sum()))
        positions = serials % self.capacity
        rows = torch.from_numpy(positions).to(self.device)
        for name, column in self.columns.items():
            values = np.asarray(getattr(episodes, name)[valid], dtype=np.float32)
            column[rows] = torch.from_numpy(values).to(self.device)
        first = np.zeros_like(valid)
        first[:, 0] = True
        self.first_step[positions] = first[valid]
        self.total += len(serials)
        self.size = min(self.capacity, self.total)
        return serials

    @property
    def oldest(self) -> int:
        """Serial number of the oldest transition that is still held."""
        return max(0, self.total - self.capacity)

    def held(self, serials: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of ascending serial numbers whose transitions have not been overwritten."""
        return serials[np.searchsorted(serials, self.oldest) :]

    def gather(self, rows: Tensor) -> dict[str, Tensor]:
        """Transitions at `rows` of any shape; one gather for all tasks."""
        rows = rows.to(self.device)
        return {name: column[rows] for name, column in self.columns.items()}

    def draw(
        self, pool: NDArray[np.int64], size: int, generator: np.random.Generator, *, in_order: bool
    ) -> NDArray[np.int64]:
        """`size` rows out of the serial numbers `pool`, in order of time or each drawn on its own, shape (size,)."""
        rows = pool % self.capacity
        if in_order:
            return rows[draw_stretch(self.first_step[rows], size, generator)]
        return rows[draw_places(len(rows), size, generator)]

    def state(self) -> dict[str, Tensor]:
        """Filled part of every column, for checkpoints."""
        filled = {name: column[: self.size].clone() for name, column in self.columns.items()}
        return {**filled, FIRST_STEP: torch.from_numpy(self.first_step[: self.size].copy())}

    def restore(self, state: dict[str, Tensor], total: int) -> None:
        """Puts back what `state` returned."""
        self.size = len(state["reward"])
        self.total = total
        for name, column in self.columns.items():
            column[: self.size] = state[name]
        # Checkpoints from before there were recurrent encoders do not say it, and no encoder of theirs asks.
        if FIRST_STEP in state:
            self.first_step[: self.size] = state[FIRST_STEP].cpu().numpy()


class TaskReplay:
    """The paper's books: RL set and context set per task."""

    def __init__(
        self,
        spec: FamilySpec,
        capacity: int,
        tasks: int,
        device: str | torch.device = "cpu",
        *,
        in_order: bool = False,
    ) -> None:
        """Empty books for `tasks` training tasks; `in_order` draws contexts as stretches in order of time."""
        self.store = TransitionStore(spec, capacity, device)
        self.in_order = in_order
        self.rl_rows: list[NDArray[np.int64]] = [np.empty(0, np.int64) for _ in range(tasks)]
        """Serial numbers of each task's RL set, ascending."""
        self.context_rows: list[NDArray[np.int64]] = [np.empty(0, np.int64) for _ in range(tasks)]
        """Serial numbers of each task's context set, ascending."""

    def clear_context(self, task: int) -> None:
        """Forgets the context of `task`; its RL set stays."""
        self.context_rows[task] = np.empty(0, np.int64)

    def add(self, episodes: Episodes, tasks: NDArray[np.int64], *, to_context: bool) -> None:
        """Stores episodes of `tasks` (N,); always in the RL sets, by option in the context sets."""
        serials = self.store.append(episodes)
        ends = np.cumsum(episodes.valid.sum(axis=1))
        for task, rows in zip(tasks, np.split(serials, ends[:-1]), strict=True):
            self.rl_rows[task] = self.store.held(np.concatenate([self.rl_rows[task], rows]))
            if to_context:
                self.context_rows[task] = np.concatenate([self.context_rows[task], rows])

    def sample_rl(self, tasks: NDArray[np.int64], count: int, generator: np.random.Generator) -> Tensor:
        """Rows (T, count) drawn with replacement from the tasks' RL sets."""
        return self._draw(self.rl_rows, tasks, count, generator, in_order=False)

    def sample_context(self, tasks: NDArray[np.int64], count: int, generator: np.random.Generator) -> Tensor:
        """Rows (T, count) of the tasks' context sets, drawn with replacement or in order, whatever the RL rows."""
        return self._draw(self.context_rows, tasks, count, generator, in_order=self.in_order)

    def _draw(
        self,
        sets: list[NDArray[np.int64]],
        tasks: NDArray[np.int64],
        count: int,
        generator: np.random.Generator,
        *,
        in_order: bool,
    ) -> Tensor:
        drawn = []
        for task in tasks:
            pool = self.store.held(sets[task])
            if not len(pool):
                raise InvalidValueError(
                    f"nothing of task {task} is left in the replay, which holds {self.store.capacity} transitions; set "
                    "replay_capacity so large that it holds the last visits of every training task"
                )
            drawn.append(self.store.draw(pool, count, generator, in_order=in_order))
        return torch.from_numpy(np.stack(drawn))
