# SPDX-License-Identifier: Apache-2.0
"""A stream of transitions that depends on nothing but its seed, and the states it leads to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from meta_rl_core.belief import TaskBelief
from meta_rl_core.runtime.adapter_state import AdapterState, read_state, state_to_dict
from meta_rl_core.runtime.context import Transition
from meta_rl_core.runtime.journal import Journal
from meta_rl_core.runtime.journal_file import Owner
from meta_rl_core.runtime.journal_open import open_journal
from meta_rl_core.runtime.journal_rows import Adaptation, Record, Restored

LATENT = 5
PATIENCE_S = 30.0
OWNER = Owner("a" * 64, "left hand", prior_in_product=False)
GOAL = Adaptation(3, "sample", 2, 3, 40, reset_belief=True)


def records(seed: int = 0) -> Iterator[Record]:
    """Endless transitions, each with the state after it; the same seed gives the same bits."""
    generator = np.random.Generator(np.random.PCG64(seed))
    stream = np.random.Generator(np.random.PCG64(seed + 1))
    z = stream.standard_normal(LATENT)
    state = AdapterState(
        OWNER.bundle_hash, TaskBelief.prior(LATENT), z, episodes_begun=1, generator=stream.bit_generator.state
    )
    for step in range(2**62):
        belief = state.belief.observe(
            generator.normal(size=LATENT), generator.uniform(0.01, 9.0, size=LATENT)
        )
        state = replace(state, belief=belief)
        transition = Transition(
            generator.normal(size=21), generator.normal(size=9), -float(step), generator.normal(size=21)
        )
        yield Record("transition", 0, step, 1_000_000_000 + 100_000_000 * step, state, transition)


def open_one(path: Path, owner: Owner = OWNER, *, restore: bool = True) -> tuple[Journal, Restored | None]:
    """The journal `j.sqlite` in a folder."""
    return open_journal(path / "j.sqlite", owner, restore=restore)


def bits(restored: Restored) -> bytes:
    """All bits of a restored state that decide what comes next."""
    state = read_state(restored.state, OWNER.bundle_hash, LATENT, prior_in_product=False)
    return bits_of(state)


def bits_of(state: AdapterState) -> bytes:
    """The same of the state itself."""
    belief, z = state.belief, state.z
    assert z is not None
    rest = repr((belief.transitions, state.episodes_begun, state_to_dict(state)["generator"]))
    return (
        belief.evidence_precision.tobytes()
        + belief.evidence_precision_mean.tobytes()
        + z.tobytes()
        + rest.encode()
    )


def until(condition: Callable[[], object]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, "not in time"
        time.sleep(0.005)


def keep(folder: Path, count: int, how: str | None = None) -> list[Record]:
    """Runs a session of `count` transitions that ends in this way."""
    journal, _ = open_one(folder)
    journal.begin(GOAL)
    kept = list(islice(records(), count))
    for record in kept:
        journal.note(record)
    assert journal.close(how, timeout_s=PATIENCE_S)
    return kept
