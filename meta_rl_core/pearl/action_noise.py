# SPDX-License-Identifier: Apache-2.0
"""Noise on the actions of an exploring episode, from one step to the next.

What is drawn afresh in each step mostly cancels out before a body with mass has moved. Noise of the same size whose
neighbours agree gets it somewhere: pink noise, its power falling as 1 / frequency, explores best over many tasks
(Eberhard et al. 2023, "Pink Noise Is All You Need").
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from colorednoise import powerlaw_psd_gaussian

from meta_rl_core.tasks import Array


def action_noise(
    exponent: float, horizon: int, shape: tuple[int, ...], generator: np.random.Generator
) -> Iterator[Array]:
    """Normal noise of mean 0 and spread 1 for each step of an episode, every element on its own.

    A short stretch of coloured noise is somewhat wider than its nominal spread, pink noise of 200 steps by 5 %.

    Args:
        exponent: Power falls as frequency to the minus this: 0 is white, 1 pink, 2 brown.
        horizon: Steps of the episode; coloured noise is drawn for all of them at once, and no longer.
        shape: Of the noise in one step.
        generator: Draws it, white noise when it is asked for, coloured noise in the first step.
    """
    if exponent == 0.0 or horizon == 1:
        while True:
            yield generator.standard_normal(shape)
    coloured = powerlaw_psd_gaussian(exponent, (*shape, horizon), random_state=generator)
    yield from np.moveaxis(coloured, -1, 0)
