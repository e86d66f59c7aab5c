# SPDX-License-Identifier: Apache-2.0
"""How much of a visit is still to be lived in each of the worlds that are visited together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.pearl.episodes import Episodes


class Quota:
    """Counts episodes, or the steps of as many whole ones.

    With steps, worlds whose episodes end early live more of them than others; the worlds that have enough rest
    meanwhile. As in the published code an episode once begun is finished, so that counts are least numbers.
    """

    def __init__(self, worlds: int, episodes: int, horizon: int, *, by_steps: bool) -> None:
        """Opens the quota of `episodes` of `horizon` steps for each of `worlds` worlds."""
        self.by_steps = by_steps
        self.wanted = episodes * (horizon if by_steps else 1)
        self.lived: NDArray[np.int64] = np.zeros(worlds, dtype=np.int64)

    def rounds(self) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """Number of the round and which worlds still go on, shape (N,), until none does; `add` moves it on."""
        index = 0
        while (going := self.lived < self.wanted).any():
            yield index, going
            index += 1

    def add(self, episodes: Episodes) -> None:
        """Counts what was lived in the present round."""
        steps = episodes.valid.sum(axis=1)
        self.lived = self.lived + (steps if self.by_steps else 1)
