# SPDX-License-Identifier: Apache-2.0
"""What a D'Claw did in single policy periods, wherever it was measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Steps:
    """N policy periods; joints are the nine of the fingers and then the valve.

    Attributes:
        before: Positions [rad] and velocities [rad/s] at the start of the period, shape (N, 20).
        former: Finger command that held before [rad], shape (N, 9).
        command: Finger command that answers the state `before` [rad], shape (N, 9).
        after: Positions and velocities at the end of the period, shape (N, 20).
    """

    before: Array
    former: Array
    command: Array
    after: Array

    def __post_init__(self) -> None:
        """Checks shapes.

        Raises:
            InvalidValueError: If a shape is wrong or a number not finite.
        """
        count = len(self.before)
        shapes = {"before": (count, 20), "former": (count, 9), "command": (count, 9), "after": (count, 20)}
        for name, shape in shapes.items():
            values = getattr(self, name)
            if values.shape != shape or not np.isfinite(values).all():
                raise InvalidValueError(f"{name} must be finite, of shape {shape}, got shape {values.shape}")

    def __len__(self) -> int:
        """Number of periods."""
        return len(self.before)
