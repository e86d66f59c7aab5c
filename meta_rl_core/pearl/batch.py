# SPDX-License-Identifier: Apache-2.0
"""What one gradient step eats."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


def draw_noise(
    shapes: tuple[tuple[int, ...], ...], batch: Batch, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Standard normal noise of these shapes, one after the other, where the batch lives."""
    device = batch.observation.device
    return tuple(torch.randn(shape, generator=generator, device=device) for shape in shapes)


class Batch(NamedTuple):
    """Transitions and contexts of T tasks, B transitions and C context transitions each."""

    observation: Tensor
    """Shape (T, B, O)."""
    action: Tensor
    """Shape (T, B, A)."""
    reward: Tensor
    """Raw dense reward, shape (T, B)."""
    next_observation: Tensor
    """Shape (T, B, O)."""
    terminal: Tensor
    """1 where the episode truly ended, shape (T, B)."""
    context: Tensor
    """Encoder inputs, shape (T, C, context_dim)."""
    known_z: Tensor | None = None
    """What an oracle is told in place of the posterior, shape (T, latent)."""
    task_features: Tensor | None = None
    """The tasks themselves, for a teacher of the encoder, shape (T, F)."""
    early_context: Tensor | None = None
    """Of the same tasks, as lived before anything was known: prior episodes alone, shape (T, C, context_dim)."""
    context_starts: Tensor | None = None
    """True where an episode begins in `context`, shape (T, C); for a recurrent encoder."""
    early_starts: Tensor | None = None
    """The same for `early_context`."""
