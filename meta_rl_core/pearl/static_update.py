# SPDX-License-Identifier: Apache-2.0
"""An update on tensors that stay where they are, and its replay as a CUDA graph.

A graph replays the very kernels it recorded, on the very addresses. So the batch is copied and noise drawn into fixed
tensors, what depends on the count of updates is decided outside (one graph with the actor's step, one without), and
the learning rate is a tensor on the device. Follows the PyTorch notes on CUDA graphs ("whole-network capture").
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from meta_rl_core.pearl.batch import Batch

WARM_UPS = 3
"""Updates before recording, as PyTorch asks for, so that libraries have allocated their workspaces; undone again."""


class Update(Protocol):
    """What an update must offer to run on static tensors."""

    updates: int

    def noise_shapes(self, batch: Batch) -> tuple[tuple[int, ...], ...]:
        """Shapes of the standard normal noise one update takes, in the order it is drawn."""

    def actor_is_due(self) -> bool:
        """Whether the next update includes a step of the actor."""

    def learn(self, batch: Batch, noise: tuple[Tensor, ...], *, with_actor: bool) -> dict[str, Tensor]:
        """One gradient step: device work alone, no draw, no decision."""

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Every optimiser by name."""

    def state_dict(self) -> dict[str, Tensor]:
        """Weights, sharing memory with the networks."""


class StaticUpdate:
    """Runs an update on copies of its inputs that never move."""

    def __init__(self, update: Update, example: Batch) -> None:
        """Reserves inputs like those of `example`; every later batch must have its shapes."""
        self.update = update
        self.batch = example._replace(
            **{name: part.clone() for name, part in example._asdict().items() if part is not None}
        )
        device = example.observation.device
        self.noise = tuple(torch.empty(shape, device=device) for shape in update.noise_shapes(example))

    def step(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """As the update's own `step`, to the bit."""
        self._load(batch, generator)
        with_actor = self.update.actor_is_due()
        losses = self._play(with_actor=with_actor)
        self.update.updates += 1
        return {name: value.clone() for name, value in losses.items()}

    def _load(self, batch: Batch, generator: torch.Generator) -> None:
        for fixed, given in zip(self.batch, batch, strict=True):
            if fixed is not None and given is not None:
                fixed.copy_(given)
        for fixed in self.noise:
            fixed.normal_(generator=generator)

    def _play(self, *, with_actor: bool) -> dict[str, Tensor]:
        return self.update.learn(self.batch, self.noise, with_actor=with_actor)


class GraphedUpdate(StaticUpdate):
    """Records each kind of update once and replays it from then on: one launch instead of some hundreds."""

    def __init__(self, update: Update, example: Batch) -> None:
        """Needs a CUDA device, and optimisers prepared by `make_capturable`."""
        super().__init__(update, example)
        self._recorded: dict[bool, tuple[torch.cuda.CUDAGraph, dict[str, Tensor]]] = {}

    def _play(self, *, with_actor: bool) -> dict[str, Tensor]:
        if with_actor not in self._recorded:
            self._recorded[with_actor] = self._record(with_actor=with_actor)
        graph, losses = self._recorded[with_actor]
        graph.replay()
        return losses

    def _record(self, *, with_actor: bool) -> tuple[torch.cuda.CUDAGraph, dict[str, Tensor]]:
        before = Snapshot(self.update)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                super()._play(with_actor=with_actor)
        torch.cuda.current_stream().wait_stream(side)
        # Recording runs nothing. Each graph has a memory pool of its own, so that one cannot overwrite what another
        # still reads.
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            losses = super()._play(with_actor=with_actor)
        before.put_back()
        return graph, losses


class Snapshot:
    """Weights and optimiser states, to be put back in place: addresses stay what graphs know."""

    def __init__(self, update: Update) -> None:
        """Copies everything that one update changes."""
        self._update = update
        self._weights = {name: value.clone() for name, value in update.state_dict().items()}
        self._moments = {key: value.clone() for key, value in _moments(update).items()}

    @torch.no_grad()
    def put_back(self) -> None:
        """Undoes the updates since. What an optimiser has created since starts from zero, as Adam's states do."""
        for name, value in self._update.state_dict().items():
            value.copy_(self._weights[name])
        for key, value in _moments(self._update).items():
            kept = self._moments.get(key)
            value.zero_() if kept is None else value.copy_(kept)


def _moments(update: Update) -> dict[tuple[str, int, int, str], Tensor]:
    found = {}
    for name, optimiser in update.optimisers().items():
        for group, settings in enumerate(optimiser.param_groups):
            for index, parameter in enumerate(settings["params"]):
                for key, value in optimiser.state.get(parameter, {}).items():
                    found[name, group, index, key] = value
    return found


def make_capturable(optimisers: dict[str, torch.optim.Optimizer], device: torch.device) -> None:
    """Lets Adam count its steps and read its learning rate on the device; to be called before the first step."""
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group["capturable"] = True
            group["lr"] = torch.tensor(group["lr"], device=device)


def set_learning_rate(optimisers: dict[str, torch.optim.Optimizer], rate: float) -> None:
    """Sets the rate of every optimiser, in place where it is a tensor that a graph reads."""
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
