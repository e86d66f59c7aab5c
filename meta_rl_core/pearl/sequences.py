# SPDX-License-Identifier: Apache-2.0
"""Which transitions make a context: each drawn on its own, or, for a recurrent encoder, a stretch as it was lived."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]


def draw_places(available: int, size: int, generator: np.random.Generator) -> Index:
    """Places of `size` transitions among `available` ones, drawn with replacement, shape (size,)."""
    return generator.integers(available, size=size)


def draw_stretch(first: NDArray[np.bool_], size: int, generator: np.random.Generator) -> Index:
    """Places of `size` consecutive transitions, in order of time.

    A stretch begins with an episode, as it does on a robot; where an episode is longer than the stretch it begins
    anywhere, or the ends of episodes would never be seen. After the last transition it goes on with the first one.

    Args:
        first: True at the first transition of each episode, in order of time, shape (n,).
        size: How many to draw; more than n go round more than once.
        generator: Draws where it begins.

    Returns:
        Shape (size,).
    """
    begins = np.flatnonzero(first)
    lengths = np.diff(np.append(begins, len(first)))
    whole = len(begins) > 0 and lengths.max() <= size
    begin = generator.choice(begins) if whole else generator.integers(len(first))
    return (int(begin) + np.arange(size)) % len(first)
