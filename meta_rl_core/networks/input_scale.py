# SPDX-License-Identifier: Apache-2.0
"""Observations on the scale of those seen so far: no element is lost beside ones that are a hundred times larger.

Normalising inputs by running statistics is what SimBa (Lee et al. 2025) calls RSNorm. Statistics are set from outside
and are no parameters: nothing learns them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from meta_rl_core.errors import InvalidValueError

LEAST_VARIANCE = 1e-4
"""Added to every variance, so that an element that hardly ever changes is not blown up."""
Array = NDArray[np.float64]


class RunningMoments:
    """Mean and variance of all rows added so far (Chan et al. 1983), in double precision.

    Attributes:
        count: Number of rows.
        mean: Shape (O,).
        squares: Sum of squared distances from the mean, shape (O,).
    """

    def __init__(self, size: int) -> None:
        """Starts with no rows of `size` elements."""
        self.count = 0
        self.mean: Array = np.zeros(size)
        self.squares: Array = np.zeros(size)

    def add(self, rows: Array) -> None:
        """Adds rows, shape (n, O)."""
        if not len(rows):
            return
        centre = rows.mean(axis=0)
        total = self.count + len(rows)
        away = centre - self.mean
        self.squares += (
            np.square(rows - centre).sum(axis=0) + np.square(away) * self.count * len(rows) / total
        )
        self.mean += away * len(rows) / total
        self.count = total

    @property
    def scale(self) -> Array:
        """What to multiply distances from the mean with, shape (O,); 1 before the second row."""
        if self.count < 2:
            return np.ones_like(self.mean)
        scale: Array = 1.0 / np.sqrt(self.squares / self.count + LEAST_VARIANCE)
        return scale

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, exact to the bit."""
        return {"count": self.count, "mean": self.mean.tolist(), "squares": self.squares.tolist()}

    def restore(self, data: Mapping[str, Any]) -> None:
        """Goes back to what `to_dict` gave.

        Raises:
            InvalidValueError: If sizes do not fit.
        """
        mean, squares = (np.asarray(data[name], dtype=np.float64) for name in ("mean", "squares"))
        if mean.shape != self.mean.shape or squares.shape != self.mean.shape:
            raise InvalidValueError(f"moments of {self.mean.size} elements are needed, got {mean.size}")
        self.count, self.mean, self.squares = int(data["count"]), mean, squares


class InputScale(nn.Module):
    """Shifts and scales the observations among a network's inputs; the others pass as they are."""

    mean: Tensor
    scale: Tensor

    def __init__(self, inputs: int, observations_at: Sequence[int]) -> None:
        """Changes nothing until `set` is called.

        Args:
            inputs: Number of inputs, I.
            observations_at: Where an observation begins among them.
        """
        super().__init__()
        self.places = tuple(observations_at)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps (..., I) to (..., I)."""
        return (inputs - self.mean) * self.scale

    def set(self, moments: RunningMoments) -> None:
        """Takes the statistics of observations, in place."""
        size = len(moments.mean)
        for place in self.places:
            self.mean[place : place + size] = torch.as_tensor(moments.mean, dtype=torch.float32)
            self.scale[place : place + size] = torch.as_tensor(moments.scale, dtype=torch.float32)

    def folded(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Weight (N, I) and bias (N,) of a linear layer that does the same on inputs as they are."""
        weight64, mean, scale = weight.double(), self.mean.double(), self.scale.double()
        return (weight64 * scale).float(), (bias.double() - weight64 @ (mean * scale)).float()


def set_scales(network: nn.Module, moments: RunningMoments) -> None:
    """Sets every `InputScale` within `network`."""
    for module in network.modules():
        if isinstance(module, InputScale):
            module.set(moments)
