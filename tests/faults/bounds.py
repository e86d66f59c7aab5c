# SPDX-License-Identifier: Apache-2.0
"""Bounds of what is measured in real time: those of the promises in the report, wider ones in the tests."""

from __future__ import annotations

factor = 1.0
"""What a bound is multiplied by. The tests set 2: they share a machine with others and must not fail for that."""


def allowed(bound: float) -> float:
    """How much may be measured before the promise counts as broken, in the unit of its bound."""
    return factor * bound
