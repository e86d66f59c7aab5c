# SPDX-License-Identifier: Apache-2.0
"""Refuses wrong shapes and non-finite numbers before anything moves."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_rl_core.errors import InvalidValueError, NonFiniteError, PitayaError

Array = NDArray[np.float64]


class SimulationError(PitayaError):
    """A simulated world that cannot go on, or was used in the wrong order."""


def checked_array(what: str, values: ArrayLike, shape: tuple[int, ...]) -> Array:
    """The values as float64 if they have this shape and are all finite.

    Raises:
        InvalidValueError: If they are no numbers or the shape differs.
        NonFiniteError: If one is NaN or infinite.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(f"{what} must be numbers of shape {shape}, got {values!r}") from error
    if array.shape != shape:
        raise InvalidValueError(f"{what} must have shape {shape}, got {array.shape}")
    if not np.isfinite(array).all():
        rows = sorted({int(index[0]) for index in np.argwhere(~np.isfinite(array))})
        raise NonFiniteError(
            f"{what} must be finite, got NaN or infinity at index {rows[:8]}; nothing was moved"
        )
    return array


def checked_seeds(seeds: ArrayLike, count: int) -> NDArray[np.int64]:
    """One non-negative whole seed per world, shape (count,).

    Raises:
        InvalidValueError: If the shape differs, or a seed is negative or no whole number.
    """
    array = np.asarray(seeds)
    if array.shape != (count,) or not np.issubdtype(array.dtype, np.integer) or (array < 0).any():
        raise InvalidValueError(f"seeds must be {count} whole numbers of 0 or greater, got {seeds!r}")
    return array.astype(np.int64)
