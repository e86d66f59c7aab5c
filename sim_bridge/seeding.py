# SPDX-License-Identifier: Apache-2.0
"""Seeds of single episodes, so that worlds and plants start alike."""

from __future__ import annotations

import numpy as np

from meta_rl_core.errors import InvalidValueError


def episode_seed(seed: int, episode: int) -> int:
    """The world seed of one episode of a run, in [0, 2**63).

    Raises:
        InvalidValueError: If seed or episode is negative.
    """
    if seed < 0 or episode < 0:
        raise InvalidValueError(f"seed and episode must be 0 or greater, got {seed} and {episode}")
    return int(np.random.SeedSequence([seed, episode]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def start_generator(world_seed: int) -> np.random.Generator:
    """The random stream that a world's start is drawn from."""
    return np.random.Generator(np.random.PCG64(world_seed))
