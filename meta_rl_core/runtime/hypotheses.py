# SPDX-License-Identifier: Apache-2.0
"""Hypotheses to explore with: a few z that together cover the tasks known from training.

Draws from the prior crowd in its middle, while tasks may be spread evenly; five draws then leave the ends of the
task range untried. Covering is the k-medoids problem (Kaufman and Rousseeuw 1990), solved here by alternation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError

Array = NDArray[np.float64]
_MOST_ROUNDS = 100


def covering_hypotheses(known: Array, count: int) -> Array:
    """The members of `known` that lie closest to all others, each to its own share of them.

    Args:
        known: What z was for each training task, shape (K, latent).
        count: How many are asked for.

    Returns:
        Shape (count, latent), every row one of `known`; beyond K they repeat. The same input gives the same bits.

    Raises:
        InvalidValueError: If nothing is known.
    """
    if known.ndim != 2 or len(known) == 0:
        raise InvalidValueError(
            f"known hypotheses must have shape (K, latent) with K at least 1, got {known.shape}"
        )
    # Tasks may share a hypothesis; a second medoid on the same point would have nothing of its own to be the middle of.
    distinct = np.unique(known, axis=0)
    if count == 0:
        return distinct[:0]
    chosen = _alternate(_distances(distinct), min(count, len(distinct)))
    return distinct[np.resize(chosen, count)]


def along_a_path(hypotheses: Array) -> Array:
    """The rows, shape (n, latent), in an order in which neighbours are near.

    The path begins at the outermost one and always goes on to the nearest of those left.
    """
    if len(hypotheses) == 0:
        return hypotheses
    distances = _distances(hypotheses)
    path = [int(distances.sum(axis=1).argmax())]
    while len(path) < len(hypotheses):
        left = [index for index in range(len(hypotheses)) if index not in path]
        path.append(left[int(distances[path[-1], left].argmin())])
    return hypotheses[path]


def _distances(known: Array) -> Array:
    return np.sqrt(np.square(known[:, None] - known[None]).sum(axis=-1))


def _far_apart(distances: Array, count: int) -> list[int]:
    chosen = [int(distances.sum(axis=1).argmin())]
    while len(chosen) < count:
        chosen.append(int(distances[chosen].min(axis=0).argmax()))
    return chosen


def _alternate(distances: Array, count: int) -> list[int]:
    """Assigns everything to its nearest medoid and moves each medoid to the middle of what it got, until still."""
    chosen = _far_apart(distances, count)
    for _ in range(_MOST_ROUNDS):
        nearest = distances[chosen].argmin(axis=0)
        moved = []
        for index in range(count):
            members = np.flatnonzero(nearest == index)
            inside = distances[np.ix_(members, members)]
            # Squared distances: the middle of a segment, not just any member near it.
            moved.append(int(members[np.square(inside).sum(axis=1).argmin()]))
        if moved == chosen:
            break
        chosen = moved
    return chosen
