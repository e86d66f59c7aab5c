# SPDX-License-Identifier: Apache-2.0
"""Row 1 in virtual time: joint states stay away for a random while, to the nanosecond."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from meta_rl_core.runtime.supervisor import Action, Flags, Limits, Mode, Sample, State, supervise
from tests.faults.tally import Tally

_MS = 1_000_000
_STATE_NS, _WATCH_NS = 10 * _MS, 20 * _MS
_STALE_NS, _HOLD_NS, _FAULT_NS = 50 * _MS, 70 * _MS, 1000 * _MS
_RESUME = 10


def random_gaps(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 1 a: each case is one gap of 0 to 2 s in joint states at 100 Hz; supervision looks every 20 ms too."""
    del folder
    tally, limits, modes = Tally(), Limits.for_period(0.1), {mode.name: 0 for mode in Mode}
    for index in range(cases):
        run = _Run(limits, phase_ns=int(generator.integers(_WATCH_NS)))
        run.states(int(generator.integers(15, 40)), generator)
        # One in three near the edges, where an error would hide.
        edge = int(generator.choice((_STALE_NS, _HOLD_NS, _FAULT_NS)))
        gap_ns = int(generator.integers(0, 2000 * _MS))
        if index % 3 == 0:
            gap_ns = max(0, edge + int(generator.integers(-5 * _MS, 5 * _MS)))
        mode, latency_ns = run.silence(gap_ns)
        modes[mode.name] += 1
        complaint = _complaint(run, mode, gap_ns, latency_ns) or run.after(generator)
        latency_s = None if latency_ns is None else 1e-9 * latency_ns
        tally.case(complaint and f"gap {index} of {gap_ns / _MS:.3f} ms: {complaint}", latency_s=latency_s)
    tally.measured = {f"gaps that ended in {name}": count for name, count in modes.items() if count}
    return tally


class _Run:
    """Supervision of an episode that runs, at the times at which a node would ask."""

    def __init__(self, limits: Limits, phase_ns: int) -> None:
        self._limits, self._now_ns = limits, 0
        self._watch_ns, self._last_good_ns = phase_ns, 0
        self._state = State()
        self.action = Action.SILENT

    def _ask(self, now_ns: int, flags: Flags) -> None:
        self._now_ns = now_ns
        outcome = supervise(now_ns, flags, self._state, self._limits)
        self._state, self.action = outcome.state, outcome.action

    def _watch_until(self, end_ns: int) -> None:
        while self._watch_ns < end_ns:
            self._ask(self._watch_ns, Flags(moving=True))
            self._watch_ns += _WATCH_NS

    def states(self, count: int, generator: np.random.Generator) -> None:
        """Sound joint states with a millisecond of jitter."""
        for _ in range(count):
            due_ns = self._now_ns + _STATE_NS + int(generator.integers(-_MS, _MS))
            self._watch_until(due_ns)
            self._ask(due_ns, Flags(moving=True, sample=Sample.GOOD))
            self._last_good_ns = due_ns

    def silence(self, gap_ns: int) -> tuple[Mode, int | None]:
        """Only the watch asks; gives the last mode, and how long after the last state HOLD began [ns]."""
        end_ns, latency_ns = self._last_good_ns + gap_ns, None
        while self._watch_ns < end_ns:
            self._ask(self._watch_ns, Flags(moving=True))
            if latency_ns is None and self._state.mode >= Mode.HOLD:
                latency_ns = self._now_ns - self._last_good_ns
            self._watch_ns += _WATCH_NS
        self._now_ns = max(self._now_ns, end_ns)
        return self._state.mode, latency_ns

    def after(self, generator: np.random.Generator) -> str:
        """Complaint about what good states bring back."""
        before = self._state.mode
        self._ask(self._now_ns, Flags(moving=True, sample=Sample.GOOD))  # ends the gap
        self.states(_RESUME - 2, generator)
        if before is Mode.HOLD and self._state.mode is not Mode.HOLD:
            return f"{self._state.mode.name} before {_RESUME} sound states in a row"
        self.states(2, generator)
        wanted = Mode.FAULT if before is Mode.FAULT else Mode.ACTIVE
        if self._state.mode is not wanted:
            return f"{self._state.mode.name} after the gap and {_RESUME + 1} sound states, {wanted.name} is right"
        return ""


def _complaint(run: _Run, mode: Mode, gap_ns: int, latency_ns: int | None) -> str:
    if latency_ns is not None and latency_ns > _HOLD_NS:
        return f"HOLD only {latency_ns / _MS:.3f} ms after the newest state"
    if latency_ns is not None and latency_ns <= _STALE_NS:
        return f"HOLD already {latency_ns / _MS:.3f} ms after the newest state"
    if gap_ns > _HOLD_NS and run.action is Action.FORWARD:
        return "commands are forwarded without a fresh state"
    if gap_ns <= _STALE_NS and mode is not Mode.ACTIVE:
        return f"{mode.name} although no state was stale"
    if gap_ns > _FAULT_NS + _WATCH_NS and mode is not Mode.FAULT:
        return f"{mode.name} after more than 1 s"
    if gap_ns <= _FAULT_NS and mode is Mode.FAULT:
        return "FAULT before 1 s"
    return ""
