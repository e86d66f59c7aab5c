# SPDX-License-Identifier: Apache-2.0
"""What reward models do to rows of numbers, with the same bits for one row and for many."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_rl_core.errors import InvalidValueError

Array = NDArray[np.float64]


def checked_rows(what: str, values: ArrayLike, length: int) -> Array:
    """The values as float64, shape (..., length).

    Raises:
        InvalidValueError: If the last dimension has another length.
    """
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim == 0 or rows.shape[-1] != length:
        raise InvalidValueError(
            f"{what} must have {length} numbers in the last dimension, got shape {rows.shape}"
        )
    return rows


def sum_of_squares(rows: Array) -> Array:
    """Sum of squares of each row, shape (...) from (..., n)."""
    # Added up column by column: NumPy's own sums change order, and so the last bit, with a batch's shape.
    squares = np.square(rows)
    total = squares[..., 0]
    for column in range(1, rows.shape[-1]):
        total = total + squares[..., column]
    return np.asarray(total)
