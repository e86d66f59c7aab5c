# SPDX-License-Identifier: Apache-2.0
"""The belief of a recurrent encoder while episodes are lived, one transition at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from meta_rl_core.networks.recurrent_encoder import RecurrentEncoder


class BeliefStream:
    """What N worlds know: the product of the factors of finished episodes and of the one they are in.

    It holds two sums and a state per world, whatever the length of the context, and gives what `Agent.posterior` gives
    for all transitions at once.
    """

    def __init__(self, encoder: RecurrentEncoder, worlds: int, *, prior_in_product: bool) -> None:
        """Starts with the prior and no episode."""
        self.encoder = encoder
        self._prior_precision = 1.0 if prior_in_product else 0.0
        device = next(encoder.parameters()).device
        nothing = torch.zeros((worlds, encoder.latent_dim), device=device)
        self._precision, self._weighted = nothing, nothing
        self._running = (nothing, nothing)
        self._state = encoder.initial_state(worlds, device)
        self._read = torch.zeros(worlds, device=device)

    @torch.no_grad()
    def begin_episode(self) -> None:
        """Counts the episode so far as finished; the next transition meets a fresh state."""
        precision, weighted = self._running
        self._precision, self._weighted = self._precision + precision, self._weighted + weighted
        self._running = (torch.zeros_like(precision), torch.zeros_like(weighted))
        self._state, self._read = torch.zeros_like(self._state), torch.zeros_like(self._read)

    @torch.no_grad()
    def observe(self, context: Tensor, valid: Tensor) -> None:
        """Reads one transition in each world where it happened.

        Args:
            context: Encoded transitions, shape (N, context_dim).
            valid: Where there was one, shape (N,).
        """
        happened = valid.unsqueeze(-1)
        state = self.encoder.advance(self.encoder.prepare(context), self._state)
        self._state = torch.where(happened, state, self._state)
        self._read = self._read + valid
        mean, variance = self.encoder.factor(self._state, self._read.clamp(min=1.0))
        precision = torch.ones_like(mean) if self.encoder.deterministic else variance.reciprocal()
        fresh = (precision, precision * mean)
        self._running = (
            torch.where(happened, fresh[0], self._running[0]),
            torch.where(happened, fresh[1], self._running[1]),
        )

    @torch.no_grad()
    def belief(self) -> tuple[Tensor, Tensor]:
        """Mean and variance, each (N, latent): N(0, I) before anything was seen, 0 and 0 without variances."""
        precision, weighted = self._precision + self._running[0], self._weighted + self._running[1]
        seen = precision > 0.0
        precision = torch.where(seen, precision + self._prior_precision, torch.ones_like(precision))
        if self.encoder.deterministic:
            return weighted / precision, torch.zeros_like(precision)
        return weighted / precision, precision.reciprocal()
