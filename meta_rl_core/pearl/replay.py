# SPDX-License-Identifier: Apache-2.0
"""Replay: one flat store of transitions as tensors, indexed per task or per visit.

Two ways to draw from it. `TaskReplay` keeps the paper's books: an RL set per task, of which nothing is lost before it
has reached the published capacity, and a context set per task that holds its last visit alone. `RelabelledReplay`
keeps none: every transition serves every task, its reward recomputed from the measured signals, and the oldest go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.pearl.episodes import Episodes
from meta_rl_core.pearl.memory import unfilled
from meta_rl_core.pearl.sequences import draw_places, draw_stretch
from meta_rl_core.tasks import FamilySpec

Index = NDArray[np.int64]
FIELDS = ("observation", "action", "next_observation", "signals", "reward", "sparse_reward", "terminal")
FIRST_STEP = "first_step"
PART_ROWS = 1 << 17
"""Rows that a checkpoint keeps in one file: what it copies at a time, and what it need not write again if unchanged."""
FIRST_ROWS = 1 << 16
"""Rows that a growing store begins with."""


class Mark(NamedTuple):
    """A moment of a store, as which it can still be written out after it has gone on changing."""

    size: int
    total: int
    stamps: dict[int, int]
    """By part, how many transitions had ever been stored when it last changed."""
    overwritten: list[tuple[Index, dict[str, Tensor]]]
    """Places that have been used again since, and what was there, in order."""


class TransitionStore:
    """A ring of transitions; the oldest are overwritten when it is full.

    Others refer to transitions by serial numbers, counted from the first one ever stored: a place in the ring is used
    again and again, and who held places would come to hold other tasks' transitions once the ring has gone round.
    """

    def __init__(self, spec: FamilySpec, capacity: int, device: str | torch.device = "cpu") -> None:
        """Reserves room for `capacity` transitions on `device` (on a CPU none of it is used before it is filled)."""
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
            name: unfilled((capacity, *widths.get(name, ())), device) for name in FIELDS
        }
        self.first_step: NDArray[np.bool_] = np.zeros(capacity, dtype=np.bool_)
        """Whether a transition is the first of its episode."""
        self._stamps: dict[int, int] = {}
        self._mark = Mark(0, 0, {}, [])

    def append(self, episodes: Episodes) -> Index:
        """Stores every valid transition, world by world, in order.

        Returns:
            What to refer to them by, flattened over (world, step) of the valid ones; see `places`.
        """
        valid = episodes.valid
        names = self._claim(int(valid.sum()))
        places = self.places(names)
        self._keep_aside(places)
        rows = torch.from_numpy(places).to(self.device)
        for name, column in self.columns.items():
            values = np.asarray(getattr(episodes, name)[valid], dtype=np.float32)
            column[rows] = torch.from_numpy(values).to(self.device)
        first = np.zeros_like(valid)
        first[:, 0] = True
        self.first_step[places] = first[valid]
        self.total += len(places)
        self.size = max(self.size, int(places.max(initial=-1)) + 1)
        for part in np.unique(places // PART_ROWS):
            self._stamps[int(part)] = self.total
        return names

    def _claim(self, count: int) -> Index:
        """What the next `count` transitions will be referred to by."""
        return self.total + np.arange(count)

    def places(self, names: Index) -> Index:
        """Rows of the transitions that `append` gave these names."""
        return names % self.capacity

    def _keep_aside(self, places: Index) -> None:
        """Copies what stood at the last mark and is about to be overwritten."""
        lost = places[places < self._mark.size]
        if len(lost):
            kept = {
                **self.gather(torch.from_numpy(lost)),
                FIRST_STEP: torch.from_numpy(self.first_step[lost]),
            }
            self._mark.overwritten.append((lost, kept))

    @property
    def oldest(self) -> int:
        """Serial number of the oldest transition that is still held."""
        return max(0, self.total - self.capacity)

    def gather(self, rows: Tensor) -> dict[str, Tensor]:
        """Transitions at `rows` of any shape; one gather for all tasks."""
        rows = rows.to(self.device)
        return {name: column[rows] for name, column in self.columns.items()}

    def draw(self, pool: Index, size: int, generator: np.random.Generator, *, in_order: bool) -> Index:
        """`size` rows out of the names `pool`, in order of time or each drawn on its own, shape (size,)."""
        if in_order:
            rows = self.places(pool)
            return rows[draw_stretch(self.first_step[rows], size, generator)]
        return self.places(pool[draw_places(len(pool), size, generator)])

    def mark(self) -> Mark:
        """Remembers this moment: what is overwritten from now on is kept aside until the next mark."""
        self._mark = Mark(self.size, self.total, dict(self._stamps), [])
        return self._mark

    def part(self, index: int, mark: Mark) -> dict[str, Tensor]:
        """A copy of the rows of one part, as they were at the newest mark."""
        first, last = index * PART_ROWS, min((index + 1) * PART_ROWS, mark.size)
        rows = {name: column[first:last].clone() for name, column in self.columns.items()}
        rows[FIRST_STEP] = torch.from_numpy(self.first_step[first:last].copy())
        for places, kept in reversed(mark.overwritten):
            inside = (places >= first) & (places < last)
            targets, chosen = torch.from_numpy(places[inside] - first), torch.from_numpy(inside)
            for name, values in kept.items():
                rows[name][targets.to(values.device)] = values[chosen.to(values.device)]
        return rows

    def restore(
        self, parts: Iterable[dict[str, Tensor]], total: int, stamps: dict[int, int] | None = None
    ) -> None:
        """Puts back every `part` of a mark, or all of them in one, in order."""
        self.size = 0
        for part in parts:
            first, last = self.size, self.size + len(part["reward"])
            self._make_room(last)
            for name, column in self.columns.items():
                column[first:last] = part[name]
            # Checkpoints from before there were recurrent encoders do not say it, and no encoder of theirs asks.
            if FIRST_STEP in part:
                self.first_step[first:last] = part[FIRST_STEP].cpu().numpy()
            self.size = last
        self.total = total
        self._stamps = dict.fromkeys(range(-(-self.size // PART_ROWS)), total) if stamps is None else stamps

    def _make_room(self, rows: int) -> None:
        """A ring has all the room it will ever have."""


class GrowingStore(TransitionStore):
    """Overwrites nothing but what was released; grows as it fills. Names are places."""

    def __init__(self, spec: FamilySpec, device: str | torch.device = "cpu") -> None:
        """Begins small."""
        super().__init__(spec, FIRST_ROWS, device)
        self._free: Index = np.empty(0, np.int64)

    def release(self, places: Index) -> None:
        """Gives places back, of which nobody must hold any from now on."""
        self._free = np.concatenate([self._free, places])

    def release_all_but(self, held: Index) -> None:
        """The same for all places that are not among `held`."""
        self._free = np.setdiff1d(np.arange(self.size), held)

    def _claim(self, count: int) -> Index:
        reused, self._free = self._free[:count], self._free[count:]
        fresh = self.size + np.arange(count - len(reused))
        self._make_room(self.size + len(fresh))
        return np.concatenate([reused, fresh])

    def places(self, names: Index) -> Index:
        """Rows of the transitions that `append` gave these names: the names themselves."""
        return names

    def _make_room(self, rows: int) -> None:
        if rows <= self.capacity:
            return
        room = max(rows, 3 * self.capacity // 2)
        for name, column in self.columns.items():
            larger = unfilled((room, *column.shape[1:]), column.device)
            larger[: self.size] = column[: self.size]
            self.columns[name] = larger
        self.first_step = np.concatenate([self.first_step, np.zeros(room - self.capacity, dtype=np.bool_)])
        self.capacity = room


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
        """Empty books for `tasks` training tasks; `in_order` draws contexts as stretches in order of time.

        Each task keeps its newest `capacity` transitions, however often the others are visited.
        """
        self.store = GrowingStore(spec, device)
        self.capacity = capacity
        self.in_order = in_order
        self.rl_rows: list[Index] = [np.empty(0, np.int64) for _ in range(tasks)]
        """Rows of each task's RL set, in order of time; arrays are replaced and never changed."""
        self.context_rows: list[Index] = [np.empty(0, np.int64) for _ in range(tasks)]
        """The same of each task's context set."""

    def clear_context(self, task: int) -> None:
        """Forgets the context of `task`; its RL set stays."""
        self.context_rows[task] = np.empty(0, np.int64)

    def add(self, episodes: Episodes, tasks: Index, *, to_context: bool) -> None:
        """Stores episodes of `tasks` (N,); always in the RL sets, by option in the context sets.

        The published code visits one after the other and clears the context each time. So where a task is there more
        than once, the last of its worlds alone is context.
        """
        rows = self.store.append(episodes)
        ends = np.cumsum(episodes.valid.sum(axis=1))
        for world, lived in enumerate(np.split(rows, ends[:-1])):
            task = int(tasks[world])
            if to_context and task not in tasks[world + 1 :]:
                self.context_rows[task] = np.concatenate([self.context_rows[task], lived])
            self._add_to_rl(task, lived)

    def _add_to_rl(self, task: int, lived: Index) -> None:
        book = np.concatenate([self.rl_rows[task], lived])
        self.rl_rows[task], gone = book[-self.capacity :], book[: -self.capacity]
        if len(gone):
            context = self.context_rows[task]
            self.context_rows[task] = context[~np.isin(context, gone)]
            self.store.release(gone)

    def sample_rl(self, tasks: Index, count: int, generator: np.random.Generator) -> Tensor:
        """Rows (T, count) drawn with replacement from the tasks' RL sets."""
        return self._draw(self.rl_rows, tasks, count, generator, in_order=False)

    def sample_context(self, tasks: Index, count: int, generator: np.random.Generator) -> Tensor:
        """Rows (T, count) of the tasks' context sets, drawn with replacement or in order, whatever the RL rows."""
        return self._draw(self.context_rows, tasks, count, generator, in_order=self.in_order)

    def _draw(
        self, sets: list[Index], tasks: Index, count: int, generator: np.random.Generator, *, in_order: bool
    ) -> Tensor:
        drawn = []
        for task in tasks:
            pool = sets[task]
            if not len(pool):
                raise InvalidValueError(
                    f"nothing of task {task} is left in the replay, which keeps the newest {self.capacity} transitions "
                    "of each task; set replay_capacity so large that it holds at least a whole visit"
                )
            drawn.append(self.store.draw(pool, count, generator, in_order=in_order))
        return torch.from_numpy(np.stack(drawn))
