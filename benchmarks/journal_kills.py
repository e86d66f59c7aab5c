# SPDX-License-Identifier: Apache-2.0
"""Kills a process that keeps a journal, at random moments, and looks at what the next one finds.

Each process goes on where the killed one was interrupted, in the same file, so that damage would add up. A record is
lost if it had been handed to the journal and does not come back.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import write_report
from meta_rl_core.belief import TaskBelief
from meta_rl_core.errors import JournalError
from meta_rl_core.runtime.adapter_state import AdapterState, read_state, state_to_dict
from meta_rl_core.runtime.context import Transition
from meta_rl_core.runtime.journal import Journal
from meta_rl_core.runtime.journal_file import Owner
from meta_rl_core.runtime.journal_open import open_journal
from meta_rl_core.runtime.journal_rows import Adaptation, Record

LATENT, PERIOD_S, LONGEST_LIFE_S = 5, 0.002, 0.1
OWNER = Owner("0" * 64, "", prior_in_product=False)
_WORD = 8


def first_state() -> AdapterState:
    """The state before the first transition."""
    stream = np.random.Generator(np.random.PCG64(7))
    return AdapterState(
        OWNER.bundle_hash,
        TaskBelief.prior(LATENT),
        stream.standard_normal(LATENT),
        1,
        stream.bit_generator.state,
    )


def after(state: AdapterState) -> tuple[AdapterState, Transition]:
    """The next state and its transition, which depend on nothing but the number of transitions so far."""
    generator = np.random.Generator(np.random.PCG64(state.belief.transitions))
    belief = state.belief.observe(generator.normal(size=LATENT), generator.uniform(0.01, 9.0, LATENT))
    transition = Transition(
        generator.normal(size=21), generator.normal(size=9), -1.0, generator.normal(size=21)
    )
    return replace(state, belief=belief), transition


def kill_writers(folder: Path, kills: int, seed: int = 0) -> dict[str, Any]:
    """Starts and kills writers; gives the fields of the report.

    Args:
        folder: Where the journal goes.
        kills: How many writers are killed.
        seed: Decides when.
    """
    generator, path = np.random.default_rng(seed), folder / "kills.sqlite"
    twin, handed, unreadable, differing, lost, lost_s = first_state(), 0, 0, 0, [0], [0.0]
    for _ in range(kills):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _write_for_ever(path, writer)
        os.close(writer)
        os.read(reader, _WORD)  # it has begun
        time.sleep(float(generator.uniform(0.0, LONGEST_LIFE_S)))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        handed = max(handed, _last_word(reader))
        try:
            journal, restored = open_journal(path, OWNER)
        except JournalError:
            unreadable += 1
            continue
        journal.close(None)
        found = (
            first_state()
            if restored is None
            else read_state(restored.state, OWNER.bundle_hash, LATENT, False)
        )
        while twin.belief.transitions < found.belief.transitions:
            twin, _ = after(twin)
        differing += state_to_dict(twin) != state_to_dict(found)
        lost.append(handed - found.belief.transitions)
        lost_s.append(lost[-1] * PERIOD_S)
        handed = found.belief.transitions
    return {
        "benchmark": "journal_kills",
        "kills": kills,
        "unreadable": unreadable,
        "differing": differing,
        "transitions": twin.belief.transitions,
        "most_lost": max(lost),
        "most_lost_s": round(max(lost_s), 4),
        "period_s": PERIOD_S,
    }


def _write_for_ever(path: Path, told: int) -> None:
    """What a killed process was doing: one transition per period, told to the parent and to the journal."""
    try:
        journal, restored = open_journal(path, OWNER)
        state = (
            first_state()
            if restored is None
            else read_state(restored.state, OWNER.bundle_hash, LATENT, False)
        )
        journal.begin(Adaptation(0, "sample", 2, 1, 40, reset_belief=restored is None))
        os.write(told, state.belief.transitions.to_bytes(_WORD, "little"))
        _stream(journal, state, told)
    finally:
        os._exit(1)


def _stream(journal: Journal, state: AdapterState, told: int) -> None:
    while True:
        state, transition = after(state)
        count = state.belief.transitions
        journal.note(Record("transition", 0, count - 1, count, state, transition))
        os.write(told, count.to_bytes(_WORD, "little"))
        time.sleep(PERIOD_S)


def _last_word(reader: int) -> int:
    with os.fdopen(reader, "rb") as file:
        data = file.read()
    return int.from_bytes(data[len(data) - len(data) % _WORD - _WORD :][:_WORD], "little") if data else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; status 0 if nothing was unreadable and every state was one that had been committed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.journal_kills", description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the report; printed if absent")
    parser.add_argument("--kills", type=int, default=1000, help="how many processes are killed")
    parser.add_argument("--seed", type=int, default=0, help="decides when they are killed")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        results = kill_writers(Path(folder), options.kills, options.seed)
    write_report(options.json, results)
    print(
        f"{results['kills']} kills: {results['unreadable']} unreadable, {results['differing']} differing, "
        f"at most {results['most_lost']} transitions lost ({results['most_lost_s']} s)"
    )
    return 1 if results["unreadable"] or results["differing"] else 0


if __name__ == "__main__":
    sys.exit(main())
