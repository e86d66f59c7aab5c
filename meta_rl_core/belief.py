# SPDX-License-Identifier: Apache-2.0
"""The belief over tasks: a diagonal Gaussian over the latent z, kept in natural parameters.

Each transition contributes a Gaussian factor N(m, v). A product of Gaussians adds precisions 1/v and
precision-weighted means m/v (Rakelly et al. 2019, section 4.1), so a belief is two running sums: observing,
merging and forgetting take constant time and memory and do not depend on the order of the transitions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError, NonFiniteError

MINIMUM_VARIANCE = 1e-7
"""Factors are never sharper than this, as in the paper's published code."""

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TaskBelief:
    """Gaussian over z of shape (latent,), immutable.

    Attributes:
        evidence_precision: Sum of 1/v over the observed transitions, shape (latent,).
        evidence_precision_mean: Sum of m/v over the observed transitions, shape (latent,).
        transitions: How many transitions were observed.
        prior_in_product: Whether N(0, I) is one factor of the product. The paper leaves it out, so that the
            first transition replaces the prior outright; with no transition the belief is the prior either way.
    """

    evidence_precision: Vector
    evidence_precision_mean: Vector
    transitions: int = 0
    prior_in_product: bool = False

    def __post_init__(self) -> None:
        """Copies, freezes and checks the sums.

        Raises:
            InvalidValueError: If shapes differ, a precision is negative or the count is negative.
            NonFiniteError: If a number is NaN or infinite.
        """
        for name in ("evidence_precision", "evidence_precision_mean"):
            values = np.array(getattr(self, name), dtype=np.float64)
            if values.ndim != 1 or values.size == 0:
                raise InvalidValueError(f"{name} must be a non-empty vector, got shape {values.shape}")
            if not np.isfinite(values).all():
                raise NonFiniteError(f"{name} must be finite, got {values.tolist()}")
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        if self.evidence_precision.shape != self.evidence_precision_mean.shape:
            raise InvalidValueError(
                f"evidence_precision {self.evidence_precision.shape} and evidence_precision_mean "
                f"{self.evidence_precision_mean.shape} must have the same shape"
            )
        if (self.evidence_precision < 0.0).any():
            raise InvalidValueError(
                f"precisions must not be negative, got {self.evidence_precision.tolist()}"
            )
        if self.transitions < 0:
            raise InvalidValueError(f"transitions must not be negative, got {self.transitions}")

    @classmethod
    def prior(cls, latent_dim: int, prior_in_product: bool = False) -> TaskBelief:
        """The belief before any transition: N(0, I) over `latent_dim` dimensions."""
        return cls(np.zeros(latent_dim), np.zeros(latent_dim), 0, prior_in_product)

    @property
    def latent_dim(self) -> int:
        """Number of dimensions of z."""
        return self.evidence_precision.size

    @property
    def precision(self) -> Vector:
        """Precision of the posterior, shape (latent,)."""
        if self.transitions == 0:
            return np.ones(self.latent_dim)
        return self.evidence_precision + (1.0 if self.prior_in_product else 0.0)

    @property
    def variance(self) -> Vector:
        """Variance of the posterior, shape (latent,)."""
        return 1.0 / self.precision

    @property
    def std(self) -> Vector:
        """Standard deviation of the posterior, shape (latent,)."""
        return np.sqrt(self.variance)

    @property
    def mean(self) -> Vector:
        """Mean of the posterior, shape (latent,)."""
        return self.evidence_precision_mean / self.precision

    def observe(self, factor_mean: Vector, factor_variance: Vector, transitions: int = 1) -> TaskBelief:
        """The belief after one more transition (or `transitions` of them, given their rows).

        Args:
            factor_mean: Encoder means m, shape (latent,) or (n, latent).
            factor_variance: Encoder variances v, same shape; clamped to `MINIMUM_VARIANCE`.
            transitions: Number of rows n.

        Raises:
            NonFiniteError: If a mean or variance is NaN or infinite; the belief is unchanged.
            InvalidValueError: If the shapes do not fit.
        """
        mean = np.asarray(factor_mean, dtype=np.float64)
        variance = np.asarray(factor_variance, dtype=np.float64)
        rows = (self.latent_dim,) if transitions == 1 and mean.ndim == 1 else (transitions, self.latent_dim)
        if mean.shape != rows or variance.shape != rows:
            raise InvalidValueError(
                f"factors must have shape {rows}, got mean {mean.shape}, variance {variance.shape}"
            )
        if not (np.isfinite(mean).all() and np.isfinite(variance).all()):
            raise NonFiniteError("a factor with NaN or infinity cannot enter the belief")
        precision = 1.0 / np.maximum(variance, MINIMUM_VARIANCE)
        return TaskBelief(
            self.evidence_precision + precision.reshape(-1, self.latent_dim).sum(axis=0),
            self.evidence_precision_mean + (precision * mean).reshape(-1, self.latent_dim).sum(axis=0),
            self.transitions + transitions,
            self.prior_in_product,
        )

    def merge(self, other: TaskBelief) -> TaskBelief:
        """The belief that two robots on the same task share: their evidence adds.

        Raises:
            InvalidValueError: If the beliefs differ in size or in how they treat the prior.
        """
        if (self.latent_dim, self.prior_in_product) != (other.latent_dim, other.prior_in_product):
            raise InvalidValueError(
                f"beliefs must agree in latent dimension and prior: {self.latent_dim}, {self.prior_in_product} "
                f"against {other.latent_dim}, {other.prior_in_product}"
            )
        return TaskBelief(
            self.evidence_precision + other.evidence_precision,
            self.evidence_precision_mean + other.evidence_precision_mean,
            self.transitions + other.transitions,
            self.prior_in_product,
        )

    def forget(self, keep: float) -> TaskBelief:
        """Keeps the share `keep` in [0, 1] of all evidence, which pulls mean and variance toward the prior.

        Where the prior is no factor of the product, it takes the place of the evidence that goes.

        Raises:
            InvalidValueError: If `keep` is outside [0, 1].
        """
        if not 0.0 <= keep <= 1.0:
            raise InvalidValueError(f"keep must lie in [0, 1], got {keep}")
        if keep == 0.0:
            return TaskBelief.prior(self.latent_dim, self.prior_in_product)
        prior_share = 0.0 if self.prior_in_product or self.transitions == 0 else 1.0 - keep
        return TaskBelief(
            keep * self.evidence_precision + prior_share,
            keep * self.evidence_precision_mean,
            self.transitions,
            self.prior_in_product,
        )

    def sample(self, generator: np.random.Generator) -> Vector:
        """One hypothesis z about the task, shape (latent,)."""
        return self.mean + self.std * generator.standard_normal(self.latent_dim)

    def kl_to_prior(self) -> float:
        """KL(posterior || N(0, I)) in nats: how much was learnt about the task."""
        variance, mean = self.variance, self.mean
        return float(0.5 * np.sum(variance + mean**2 - 1.0 - np.log(variance)))
