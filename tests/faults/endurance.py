# SPDX-License-Identifier: Apache-2.0
"""Row 17: many hours at 10 Hz in virtual time; `make soak` runs real processes for real hours."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np

from meta_rl_core.runtime.context import Transition
from meta_rl_core.runtime.terms import JointReading
from pitaya_nodes.episode_scores import Score
from tests.faults.loop import FIRST_NS, Array, Core, make_bundle
from tests.faults.tally import Tally

TICKS_PER_HOUR = 36_000
_SAMPLE_TICKS = 250
_EPISODE_STEPS = 400
_WARM_UP_SHARE = 0.25
LARGEST_SLOPE_MIB, LARGEST_DRIFT = 1.0, 1e-5


class ExactSum:
    """Sums vectors with a compensation for what rounding lost (Neumaier)."""

    def __init__(self, size: int) -> None:
        """Starts at zero."""
        self._sum, self._lost = np.zeros(size), np.zeros(size)

    def add(self, values: Array) -> None:
        """Adds a vector."""
        total = self._sum + values
        larger = np.abs(self._sum) >= np.abs(values)
        self._lost += np.where(larger, (self._sum - total) + values, (values - total) + self._sum)
        self._sum = total

    @property
    def value(self) -> Array:
        """The sum."""
        return self._sum + self._lost


def accelerated_soak(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 17: each case is one tick: a state, a command, its echo, a reward, one transition into the belief.

    The first half is lived in episodes of 40 s, the second in one that does not end.
    """
    core, tally = Core(make_bundle(folder)), Tally()
    sums = ExactSum(core.adapter.belief.latent_dim), ExactSum(core.adapter.belief.latent_dim)
    observe = core.adapter.observe

    def also_exactly(transition: Transition) -> object:
        mean, variance = core.adapter.factor(transition)
        precision = 1.0 / np.maximum(variance, 1e-7)
        sums[0].add(precision)
        sums[1].add(precision * mean)
        return observe(transition)

    core.adapter.observe = also_exactly  # type: ignore[method-assign,assignment]
    memory_mib: list[tuple[int, float]] = []
    files_before, threads_before = open_files(), threading.active_count()
    started_s, now_ns, worst = time.monotonic(), FIRST_NS, 0.0
    ticks = _EPISODE_STEPS + 1  # the state after the last step belongs to the episode too
    half = cases // 2 // ticks * ticks
    for tick in range(cases):
        if tick <= half and tick % ticks == 0:
            if tick:
                core.episode.close()
            core.begin(_EPISODE_STEPS if tick < half else cases, now_ns)
        _tick(core, core.reading(now_ns, generator), float(generator.normal()))
        now_ns += core.period_ns
        if tick % _SAMPLE_TICKS == _SAMPLE_TICKS - 1:
            memory_mib.append((tick, resident_mib()))
            exact = sums[1].value / np.maximum(sums[0].value, 1e-300)
            worst = max(worst, float(np.abs(core.adapter.belief.mean - exact).max()))
            finite = np.isfinite(core.belief_numbers()).all()
            tally.case("" if finite else f"tick {tick}: the belief is not finite", count=_SAMPLE_TICKS)
    slope = slope_per_hour(memory_mib)
    tally.demand(slope <= LARGEST_SLOPE_MIB, f"memory grew by {slope:.2f} MiB per simulated hour, allowed 1")
    tally.demand(
        worst <= LARGEST_DRIFT, f"the belief's mean drifted by {worst:.2g}, allowed {LARGEST_DRIFT:g}"
    )
    more_files = open_files() - files_before
    tally.demand(more_files <= 0, f"{more_files} more files are open than at the start")
    tally.demand(threading.active_count() == threads_before, "there are more threads than at the start")
    tally.demand(core.pairing.rejected == 0, f"{core.pairing.rejected} sound transitions were refused")
    tally.measured = {
        "simulated hours": cases / TICKS_PER_HOUR,
        "memory slope [MiB/h]": slope,
        "drift of the mean": worst,
        "transitions in the belief": core.adapter.belief.transitions,
        "ticks per second": round(cases / (time.monotonic() - started_s)),
    }
    return tally


def _tick(core: Core, reading: JointReading, reward: float) -> None:
    command = core.episode.answer(core.names.arrange(reading))
    if command is not None:
        core.episode.executed(reading.stamp_ns, command)
    core.episode.score(reading.stamp_ns, Score(reward, reward, 0.1, False))
    core.episode.absorb()


def slope_per_hour(samples: list[tuple[int, float]], warm_up_share: float = _WARM_UP_SHARE) -> float:
    """Least-squares slope of memory over ticks after the warm-up [MiB per 36,000 ticks]."""
    late = np.array(samples[int(warm_up_share * len(samples)) :])
    if len(late) < 2:
        return 0.0
    return float(np.polyfit(late[:, 0], late[:, 1], 1)[0] * TICKS_PER_HOUR)


def resident_mib(process: int | None = None) -> float:
    """Memory of a process that is in RAM [MiB]; of this one by default."""
    pages = int(Path(f"/proc/{process or 'self'}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files(process: int | None = None) -> int:
    """How many files a process has open."""
    return len(os.listdir(f"/proc/{process or 'self'}/fd"))


def threads(process: int) -> int:
    """Threads of a process."""
    return len(list(Path(f"/proc/{process}/task").iterdir()))
