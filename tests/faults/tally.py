# SPDX-License-Identifier: Apache-2.0
"""Counts cases and failures of one promise, and what so many cases allow to say."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

CONFIDENCE = 0.95
_KEPT_COMPLAINTS = 5


@dataclass
class Tally:
    """What one row of the report counted.

    Attributes:
        cases: How often the fault was injected.
        failures: How often the promise was broken.
        latencies_ms: One per case where a time was measured [ms].
        measured: Further figures by name.
        complaints: The first failures, one sentence each.
        unmet: Figures over all cases that were not reached, one sentence each.
        allowed_share: Share of failing cases that the promise itself allows.
    """

    allowed_share: float = 0.0
    cases: int = 0
    failures: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    unmet: list[str] = field(default_factory=list)

    def case(self, complaint: str = "", *, latency_s: float | None = None, count: int = 1) -> None:
        """Counts a case: empty `complaint` means that the promise was kept."""
        self.cases += count
        if latency_s is not None:
            self.latencies_ms.append(1e3 * latency_s)
        if complaint:
            self.failures += 1
            if len(self.complaints) < _KEPT_COMPLAINTS:
                self.complaints.append(complaint)

    def demand(self, reached: bool, sentence: str) -> None:
        """Notes a figure over all cases; `sentence` says what was reached and what is asked."""
        if not reached:
            self.unmet.append(sentence)

    @property
    def held(self) -> bool:
        """Whether the promise was kept."""
        return self.cases > 0 and not self.unmet and self.failures <= self.allowed_share * self.cases

    def bound(self) -> float:
        """Largest failure rate that so many cases with so few failures leave possible."""
        return upper_bound(self.cases, self.failures)

    def percentiles_ms(self) -> tuple[float, float, float] | None:
        """Median, 99th percentile and largest latency [ms], or None where no time was measured."""
        if not self.latencies_ms:
            return None
        times = np.array(self.latencies_ms)
        return float(np.median(times)), float(np.percentile(times, 99)), float(times.max())


def upper_bound(cases: int, failures: int) -> float:
    """Exact (Clopper-Pearson) one-sided 95 % upper bound of a failure rate.

    With no failures this is 1 - 0.05 ** (1 / cases), about 3 / cases.

    Args:
        cases: Number of independent cases.
        failures: How many of them failed.
    """
    if failures >= cases:
        return 1.0
    low, high = failures / cases, 1.0
    for _ in range(100):
        middle = 0.5 * (low + high)
        if _at_most(failures, cases, middle) > 1.0 - CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def _at_most(failures: int, cases: int, rate: float) -> float:
    """Probability of at most so many failures at a failure rate in (0, 1)."""
    if rate >= 1.0:
        return 0.0
    logs = [
        math.lgamma(cases + 1)
        - math.lgamma(k + 1)
        - math.lgamma(cases - k + 1)
        + (k * math.log(rate) if k else 0.0)
        + (cases - k) * math.log1p(-rate)
        for k in range(failures + 1)
    ]
    largest = max(logs)
    return min(1.0, math.exp(largest) * sum(math.exp(value - largest) for value in logs))
