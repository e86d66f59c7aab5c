# SPDX-License-Identifier: Apache-2.0
"""Seeded task draws that keep held-out tasks away from the training ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import ContractError, InvalidValueError

Array = NDArray[np.float64]
TRAINING_SEED = 1337
"""Seed of every shipped family's training list, as in the reference implementation of PEARL."""
_HELDOUT_STREAM = 0x68656C64  # "held": keeps the stream apart from every other use of the same seed
_LONGEST_SEARCH = 1000


def heldout_generator(seed: int) -> np.random.Generator:
    """The random stream that held-out tasks of `seed` are drawn from.

    Raises:
        InvalidValueError: If the seed is negative.
    """
    if seed < 0:
        raise InvalidValueError(f"a held-out seed must be 0 or greater, got {seed}")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _HELDOUT_STREAM])))


def checked_count(count: int) -> int:
    """The number of tasks, if it is one.

    Raises:
        InvalidValueError: If it is negative.
    """
    if count < 0:
        raise InvalidValueError(f"the number of tasks must be 0 or greater, got {count}")
    return count


def draw_apart(
    count: int,
    generator: np.random.Generator,
    draw: Callable[[np.random.Generator, int], Array],
    too_close: Callable[[Array], NDArray[np.bool_]],
) -> Array:
    """Draws tasks one after the other and drops those that lie too close to a training task.

    The first k of n drawn tasks are those that a draw of k gives, so a longer report extends a shorter one.

    Args:
        count: How many to return.
        generator: Source of randomness.
        draw: Makes n tasks, shape (n, K).
        too_close: Says of tasks (n, K) which to drop, shape (n,).

    Returns:
        Shape (count, K).

    Raises:
        InvalidValueError: If `count` is negative.
        ContractError: If hardly any draw is far enough from the training tasks.
    """
    kept: list[Array] = []
    for _ in range(checked_count(count)):
        for _ in range(_LONGEST_SEARCH):
            candidate = draw(generator, 1)
            if not too_close(candidate)[0]:
                break
        else:
            raise ContractError(
                f"no held-out task found in {_LONGEST_SEARCH} draws: the training tasks cover the space"
            )
        kept.append(candidate)
    return np.concatenate(kept) if kept else draw(generator, 0)
