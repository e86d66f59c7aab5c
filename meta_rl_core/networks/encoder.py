# SPDX-License-Identifier: Apache-2.0
"""The context encoder: each transition becomes one Gaussian factor over the latent task variable z."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from meta_rl_core.belief import MINIMUM_VARIANCE
from meta_rl_core.networks.mlp import MLP


class Encoder(nn.Module):
    """Maps a transition (s, a, r[, s']) to the mean and variance of its factor (Rakelly et al. 2019, eq. 2)."""

    def __init__(
        self,
        context_dim: int,
        latent_dim: int,
        hidden: Sequence[int],
        *,
        generator: torch.Generator,
        layer_norm: bool = False,
        deterministic: bool = False,
        observations_at: Sequence[int] = (),
    ) -> None:
        """Builds the network; `context_dim` is the length of one encoded transition.

        A deterministic encoder has no variances: they are 0. Where observations within a transition are to be
        normalised, `observations_at` says at which places they begin.
        """
        super().__init__()
        self.latent_dim = latent_dim
        self.deterministic = deterministic
        outputs = latent_dim if deterministic else 2 * latent_dim
        self.network = MLP(
            context_dim,
            hidden,
            outputs,
            layer_norm=layer_norm,
            generator=generator,
            observations_at=observations_at,
        )

    def forward(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Factor means and variances, each (..., latent), of context (..., context_dim)."""
        if self.deterministic:
            point: Tensor = self.network(context)
            return point, torch.zeros_like(point)
        mean, raw = self.network(context).chunk(2, dim=-1)
        return mean, functional.softplus(raw).clamp(min=MINIMUM_VARIANCE)


def product_of_gaussians(
    mean: Tensor, variance: Tensor, *, prior_in_product: bool, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Posterior over z from the factors of one context per task.

    Args:
        mean: Factor means, shape (tasks, n, latent).
        variance: Factor variances, same shape.
        prior_in_product: Whether N(0, I) is one more factor (the paper: no).
        mask: Optional 0/1 weights, shape (tasks, n): which transitions count.

    Returns:
        Posterior mean and variance, each (tasks, latent).
    """
    precision = variance.reciprocal()
    if mask is not None:
        precision = precision * mask.unsqueeze(-1)
    total = precision.sum(dim=1)
    if prior_in_product:
        total = total + 1.0
    return (precision * mean).sum(dim=1) / total, total.reciprocal()


def aggregate_kl(mean: Tensor, variance: Tensor) -> Tensor:
    """KL from N(0, I) of the Gaussian with the moments of all tasks' posteriors together [nat].

    Zero when a draw from the prior looks like a draw from some task's posterior, so that acting on the prior
    tries out real hypotheses (the aggregate term of InfoVAE, Zhao et al. 2019). The full covariance counts: five
    dimensions that all say the same would each look like the prior, and a draw from it like an average task.

    Args:
        mean: Posterior means, shape (tasks, latent); more tasks than dimensions.
        variance: Posterior variances, same shape.
    """
    centred = mean - mean.mean(dim=0)
    covariance = centred.T @ centred / len(mean) + torch.diag(variance.mean(dim=0))
    trace = covariance.diagonal().sum()
    return 0.5 * (trace + mean.mean(dim=0).square().sum() - mean.shape[1] - torch.logdet(covariance))


def kl_between(mean: Tensor, variance: Tensor, other_mean: Tensor, other_variance: Tensor) -> Tensor:
    """KL( N(mean, variance) || N(other) ) summed over dimensions, one per task, shape (tasks,) [nat].

    In this direction the other must cover whatever the first may be: it becomes broad where it cannot know.
    """
    ratio = variance / other_variance
    return 0.5 * (ratio + (mean - other_mean).square() / other_variance - 1.0 - ratio.log()).sum(dim=-1)


def kl_to_standard_normal(mean: Tensor, variance: Tensor) -> Tensor:
    """KL( N(mean, variance) || N(0, I) ) summed over tasks AND latent dimensions, as the paper's code does [nat]."""
    return 0.5 * (variance + mean.square() - 1.0 - variance.log()).sum()
