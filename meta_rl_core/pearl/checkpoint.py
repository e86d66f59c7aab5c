# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that resume: safetensors and JSON, written beside the old one and then swapped in.

A checkpoint holds networks, optimisers, generators, replay and counters, so that a killed run goes on with the
very same numbers. Nothing in it is pickled.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from meta_rl_core.errors import CheckpointError, InvalidValueError
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.learner import Learner
from meta_rl_core.pearl.replay import Index, TransitionStore
from meta_rl_core.pearl.snapshot import AVERAGED, Snapshot
from meta_rl_core.pearl.visits import RelabelledReplay

VERSION = 3
IN_PARTS = 3
"""The version from which on rows of the replay lie in files of their own, and tasks never share a row."""
DISTILLATION = "distillation"
MAY_CHANGE = ("iterations", "environment_steps")
"""How long a run goes on may change when it is resumed."""
LAST_PHASE = ("distillation_updates", "distillation_learning_rate", "distillation_kl_weight")
"""These may change as well until the last phase begins: nothing before it knows them."""
PACE = ("updates_per_iteration", "learning_rate", "learning_rate_decay", "learning_rate_decay_from")
"""These may change where environment steps bound the run: its share that is over does not depend on them then."""


class CheckpointFolder:
    """The one checkpoint of a run; it knows which of its files need not be written again."""

    def __init__(self, directory: Path) -> None:
        """`directory` is replaced as a whole by every `write`."""
        self.directory = directory
        self._fresh = directory.with_name(directory.name + ".writing")
        self._previous = directory.with_name(directory.name + ".previous")
        self._stamps: dict[int, int] = {}

    def exists(self) -> bool:
        """Whether there is something to resume from, a crash while swapping included."""
        return self.directory.exists() or self._previous.exists()

    @property
    def _usable(self) -> Path:
        return self.directory if self.directory.exists() or not self._previous.exists() else self._previous

    def write(self, snapshot: Snapshot, store: TransitionStore) -> None:
        """Writes everything `read` needs; a crash or interrupt meanwhile leaves the previous checkpoint intact.

        Args:
            snapshot: The run at its newest mark.
            store: Its replay, which may have gone on since.
        """
        shutil.rmtree(self._fresh, ignore_errors=True)
        self._fresh.mkdir(parents=True)
        books = {name: torch.from_numpy(rows.copy()) for name, rows in snapshot.books.items()}
        for name, tensors in (
            ("networks", snapshot.networks),
            ("optimisers", snapshot.optimisers),
            ("books", books),
            *([(DISTILLATION, snapshot.distillation)] if snapshot.distillation else []),
        ):
            save_file(tensors, self._fresh / f"{name}.safetensors")
        stamps = snapshot.replay.stamps
        for part in sorted(stamps):
            self._write_part(part, snapshot, store)
        state = {
            "version": VERSION,
            "replay_total": snapshot.replay.total,
            "replay_stamps": [stamps[part] for part in sorted(stamps)],
            **snapshot.state,
        }
        (self._fresh / "state.json").write_text(json.dumps(state))
        if self.directory.exists():
            shutil.rmtree(self._previous, ignore_errors=True)
            self.directory.rename(self._previous)
        self._fresh.rename(self.directory)
        shutil.rmtree(self._previous, ignore_errors=True)
        self._stamps = dict(stamps)

    def _write_part(self, part: int, snapshot: Snapshot, store: TransitionStore) -> None:
        """Rows that have not changed since the checkpoint before are its file under a second name."""
        name = _part_name(part)
        if self._stamps.get(part) == snapshot.replay.stamps[part]:
            try:
                os.link(self.directory / name, self._fresh / name)
                return
            except OSError:
                pass  # a file system without hard links, or a checkpoint that somebody has moved away
        save_file(store.part(part, snapshot.replay), self._fresh / name)

    def read_distillation(self) -> dict[str, Tensor]:
        """State of a last phase that was half done.

        Raises:
            CheckpointError: If it is missing or damaged.
        """
        path = self._usable / f"{DISTILLATION}.safetensors"
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"no usable {path}: {error}; start anew with another --out") from error

    def read(self, learner: Learner) -> dict[str, Any]:
        """Puts `learner` back to where the snapshot was taken.

        Returns:
            The `progress` that was saved.

        Raises:
            CheckpointError: If files are missing or damaged, or belong to another family, preset or version.
        """
        directory = self._usable
        try:
            state = json.loads((directory / "state.json").read_text())
            _check_origin(learner, state, directory)
            progress = _restore(learner, state, directory)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else error
            raise CheckpointError(
                f"no usable checkpoint in {directory}: {reason}; start anew with another --out"
            ) from error
        self._stamps = dict(enumerate(state.get("replay_stamps", [])))
        return progress


def _part_name(part: int) -> str:
    return f"replay-{part:04}.safetensors"


def _restore(learner: Learner, state: dict[str, Any], directory: Path) -> dict[str, Any]:
    networks, optimisers = (
        load_file(directory / f"{name}.safetensors") for name in ("networks", "optimisers")
    )
    averaged = {name: networks.pop(name) for name in list(networks) if name.startswith(AVERAGED)}
    learner.averaged.load_state_dict({name.removeprefix(AVERAGED): value for name, value in averaged.items()})
    learner.update.load_state_dict(networks)
    _restore_optimisers(learner, optimisers)
    _restore_replay(learner, state, directory)
    if learner.config.normalise_observations:
        learner.moments.restore(state["observation_moments"])
    learner.env_steps = state["env_steps"]
    learner.updates = learner.update.updates = state["updates"]
    learner.generator.bit_generator.state = state["generator"]
    learner.torch_generator.set_state(torch.tensor(state["torch_generator"], dtype=torch.uint8))
    progress: dict[str, Any] = state["progress"]
    return progress


def _check_origin(learner: Learner, state: Any, directory: Path) -> None:
    """Refuses what another build, family or command made, before anything large is read."""
    version = state.get("version") if isinstance(state, dict) else None
    # Version 1 kept places in the replay, which are serial numbers as long as the replay has not gone round.
    once_round = version == 1 and state["replay_total"] <= learner.config.replay_capacity
    if version not in (2, VERSION) and not once_round:
        raise CheckpointError(
            f"{directory} has version {version!r}, this build reads version {VERSION}; resume it with the Pitaya that "
            "wrote it, or start anew with another --out"
        )
    if state["family"] != learner.family.spec.name:
        raise CheckpointError(
            f"{directory} belongs to family {state['family']!r}, not {learner.family.spec.name!r}; resume it as "
            f"`pitaya train {state['family']}`, or choose another --out"
        )
    try:
        # A setting that is younger than the checkpoint had its default in it.
        saved = PearlConfig.from_dict(state["config"]).to_dict()
    except (InvalidValueError, TypeError) as error:
        raise CheckpointError(f"{directory} holds settings this build does not know: {error}") from error
    ours = learner.config.to_dict()
    progress = dict(state["progress"])
    begun = progress.get("distilled") or progress.get("distillation_done")
    allowed: tuple[str, ...] = MAY_CHANGE if begun else MAY_CHANGE + LAST_PHASE
    if ours["environment_steps"] is not None:
        allowed += PACE
    differing = sorted(key for key in ours if key not in allowed and saved[key] != ours[key])
    if differing:
        pairs = ", ".join(f"{key}: saved {saved.get(key)!r}, asked {ours[key]!r}" for key in differing)
        raise CheckpointError(
            f"{directory} was made with other settings ({pairs}); only {', '.join(allowed)} may change"
        )
    _check_bound(ours, saved, state, directory)


def _check_bound(ours: dict[str, Any], saved: dict[str, Any], state: Any, directory: Path) -> None:
    """Refuses to bound by iterations a run whose updates per iteration have changed: its share would be a wrong one."""
    updates_now = state["progress"]["iteration"] * ours["updates_per_iteration"]
    released = ours["environment_steps"] is None and saved["environment_steps"] is not None
    if released and state["updates"] != updates_now:
        raise CheckpointError(
            f"{directory} has {state['updates']} updates in {state['progress']['iteration']} iterations, not "
            f"{ours['updates_per_iteration']} in each, so that iterations cannot tell how much of it is over; resume "
            "it with --steps"
        )


def _restore_optimisers(learner: Learner, tensors: dict[str, Tensor]) -> None:
    for name, optimiser in learner.update.optimisers().items():
        state: dict[int, dict[str, Tensor]] = {}
        for full_name, value in tensors.items():
            owner, index, key = full_name.split(".")
            if owner == name:
                state.setdefault(int(index), {})[key] = value
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _restore_replay(learner: Learner, state: dict[str, Any], directory: Path) -> None:
    replay, total = learner.replay, state["replay_total"]
    if state["version"] >= IN_PARTS:
        stamps = dict(enumerate(state["replay_stamps"]))
        replay.store.restore((load_file(directory / _part_name(part)) for part in stamps), total, stamps)
        books = load_file(directory / "books.safetensors")
    else:
        books = load_file(directory / "replay.safetensors")
        replay.store.restore([books], total)
    if isinstance(replay, RelabelledReplay):
        _restore_visits(replay, books)
        return
    for task in range(len(replay.rl_rows)):
        replay.rl_rows[task], replay.context_rows[task] = (
            _places(books[f"{kind}.{task}"].numpy(), state, learner.config.replay_capacity)
            for kind in ("rl", "context")
        )
    replay.store.release_all_but(np.concatenate(replay.rl_rows))


def _places(rows: Index, state: dict[str, Any], capacity: int) -> Index:
    """Rows of one book; before version 3 serial numbers in a ring, of which the overwritten ones were left standing."""
    if state["version"] >= IN_PARTS:
        return rows
    return rows[rows >= state["replay_total"] - capacity] % capacity


def _restore_visits(replay: RelabelledReplay, books: dict[str, Tensor]) -> None:
    replay.tasks = books["visit.tasks"].tolist()
    replay.prior_counts = books["visit.prior_counts"].tolist()
    ends = np.cumsum(books["visit.lengths"].numpy())
    parts = np.split(books["visit.rows"].numpy(), ends[:-1]) if len(ends) else []
    replay.episodes = []
    for count in books["visit.episode_counts"].tolist():
        replay.episodes.append(parts[:count])
        parts = parts[count:]
