# SPDX-License-Identifier: Apache-2.0
"""What the journal keeps, and its rows: vectors as raw float64, a SHA-256 over every record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.adapter_state import AdapterState, generator_to_dict
from meta_rl_core.runtime.admission import Admitted, Refused
from meta_rl_core.runtime.context import Transition
from meta_rl_core.runtime.strict_json import canonical_json, parse_json

Array = NDArray[np.float64]
SqlValue = bytes | str | int | float | None
FLOAT64 = np.dtype("<f8")

RECORD_COLUMNS = (
    "session",
    "adaptation",
    "event",
    "episode",
    "step",
    "stamp_ns",
    "transitions",
    "evidence_precision",
    "evidence_precision_mean",
    "z",
    "episodes_begun",
    "generator",
    "observation",
    "action",
    "reward",
    "next_observation",
)
"""Columns of a record that its SHA-256 covers, in this order."""

RESTORED, KEPT = "restored", "kept"
"""Events of a state that came back from an adaptation that had not ended, and from one that had."""


class Adaptation(NamedTuple):
    """What an Adapt goal asked for."""

    seed: int
    sampling: str
    exploration_episodes: int
    episodes: int
    steps_per_episode: int
    reset_belief: bool


class Ended(NamedTuple):
    """How an adaptation ended, in one sentence."""

    outcome: str


class Record(NamedTuple):
    """All that decides what comes next, after something changed it, and the transition that did, if one did."""

    event: str
    """One word: begin, episode, transition, reset, load, change, restored or kept."""
    episode: int
    """Episode since the belief was last reset; -1 before the first."""
    step: int
    stamp_ns: int
    """Stamp of the newest state in the belief [ns]."""
    state: AdapterState
    transition: Transition | None = None


class Numbered(NamedTuple):
    """Something to be written, with the adaptation it belongs to, counted from 1 within the session."""

    adaptation: int
    item: Adaptation | Ended | Record | Refused


class Earlier(NamedTuple):
    """A state on the way to the one that was restored, and the transition that led to it, if it was one."""

    state: dict[str, Any]
    stamp_ns: int
    item: Admitted | None


@dataclass(frozen=True)
class Restored:
    """What an interrupted session left.

    Attributes:
        state: The adapter's state, to be checked and taken over by `Adapter.restore`.
        episode: Episode since the belief was last reset.
        stamp_ns: Stamp of the newest state in the belief [ns].
        session: The session that was interrupted.
        ended: Whether the adaptation it belongs to had ended.
        skipped: Later records that were damaged and not used.
        row: The record itself, as values of `RECORD_COLUMNS`.
        earlier: The states before it and itself, oldest first, as far back as transitions led from one to the next.
    """

    state: dict[str, Any]
    episode: int
    stamp_ns: int
    session: int
    ended: bool
    skipped: int
    row: tuple[SqlValue, ...]
    earlier: tuple[Earlier, ...] = ()

    @property
    def transitions(self) -> int:
        """Number of transitions in the belief."""
        return int(self.state["transitions"])


def record_row(session: int, adaptation: int, record: Record) -> list[SqlValue]:
    """A record as values of `RECORD_COLUMNS`, and their SHA-256 behind them."""
    state, transition = record.state, record.transition
    belief = state.belief
    row: list[SqlValue] = [
        session,
        adaptation,
        record.event,
        record.episode,
        record.step,
        record.stamp_ns,
        belief.transitions,
        _raw(belief.evidence_precision),
        _raw(belief.evidence_precision_mean),
        None if state.z is None else _raw(state.z),
        state.episodes_begun,
        canonical_json(generator_to_dict(state.generator)).decode("ascii"),
    ]
    if transition is None:
        row += [None] * 4
    else:
        row += [
            _raw(transition.observation),
            _raw(transition.action),
            # SQLite keeps -0.0 as 0.0; so does the checksum.
            float(transition.reward) + 0.0,
            _raw(transition.next_observation),
        ]
    return [*row, row_digest(row)]


def continued_row(session: int, restored: Restored) -> list[SqlValue]:
    """What was restored, as the first record of the session that goes on from it."""
    event = KEPT if restored.ended else RESTORED
    changed: dict[str, SqlValue] = dict(zip(RECORD_COLUMNS, restored.row, strict=True))
    changed |= {"session": session, "adaptation": 0, "event": event}
    changed |= dict.fromkeys(("observation", "action", "reward", "next_observation"))
    row = [changed[name] for name in RECORD_COLUMNS]
    return [*row, row_digest(row)]


def row_digest(row: Sequence[SqlValue]) -> bytes:
    """SHA-256 over the values with their types and lengths."""
    digest = hashlib.sha256()
    for value in row:
        data = value if isinstance(value, bytes) else json.dumps(value).encode("ascii")
        digest.update(f"{type(value).__name__} {len(data)} ".encode("ascii"))
        digest.update(data)
    return digest.digest()


def state_of(row: Sequence[SqlValue], bundle_hash: str, prior_in_product: bool) -> dict[str, Any]:
    """The adapter state in a sound record, in the form that `Adapter.restore` reads.

    Raises:
        InvalidValueError: If a value is not what `record_row` writes.
    """
    values = dict(zip(RECORD_COLUMNS, row, strict=True))
    generator = values["generator"]
    if not isinstance(generator, str):
        raise InvalidValueError("journal: the state of the random stream is not text")
    return {
        "state_version": 1,
        "bundle_hash": bundle_hash,
        "evidence_precision": _vector(values["evidence_precision"]),
        "evidence_precision_mean": _vector(values["evidence_precision_mean"]),
        "transitions": values["transitions"],
        "prior_in_product": prior_in_product,
        "z": None if values["z"] is None else _vector(values["z"]),
        "episodes_begun": values["episodes_begun"],
        "generator": parse_json(generator.encode("utf-8")),
    }


def transition_of(row: Sequence[SqlValue]) -> Admitted:
    """The transition in a sound record.

    Raises:
        InvalidValueError: If it holds none.
    """
    values = dict(zip(RECORD_COLUMNS, row, strict=True))
    episode, step, stamp_ns, reward = (values[name] for name in ("episode", "step", "stamp_ns", "reward"))
    if not (isinstance(episode, int) and isinstance(step, int) and isinstance(stamp_ns, int)):
        raise InvalidValueError("journal: episode, step or stamp is no whole number")
    if not isinstance(reward, float):
        raise InvalidValueError("journal: a record holds no transition")
    observation, action, following = (
        np.array(_vector(values[name])) for name in ("observation", "action", "next_observation")
    )
    return Admitted(episode, step, stamp_ns, Transition(observation, action, reward, following))


def _raw(values: Array) -> bytes:
    return np.ascontiguousarray(values, dtype=FLOAT64).tobytes()


def _vector(data: SqlValue) -> list[float]:
    if not isinstance(data, bytes) or len(data) % FLOAT64.itemsize:
        raise InvalidValueError("journal: a vector is not stored as float64")
    return [float(value) for value in np.frombuffer(data, dtype=FLOAT64)]
