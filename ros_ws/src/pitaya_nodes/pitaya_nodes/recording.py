# SPDX-License-Identifier: Apache-2.0
"""Reads a recording of an adaptation back, without ROS, as the numbers a plot and a report need."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader, AnyReaderError

from pitaya_nodes.errors import RecordingError

Array = NDArray[np.float64]
NANOSECONDS = 1_000_000_000
_LAST_STATE_LATE = 0.06
"""How much later than on the grid the last state of an episode may come, in periods."""


@dataclass(frozen=True)
class EpisodeTrace:
    """What one episode looked like.

    Attributes:
        time_s: Time since the start of the episode [s], shape (T,).
        position: Joint positions [rad or m], shape (T, J).
        error: Error [the family's unit] at each judged state, shape (T,); NaN where none came.
    """

    time_s: Array
    position: Array
    error: Array


@dataclass(frozen=True)
class Trace:
    """What a whole adaptation looked like.

    Attributes:
        joint_names: Names of the J joints.
        task: Task parameters by name.
        family: Task family.
        task_seed: Seed of the task; -1 if set by value.
        episodes: One trace per episode.
        belief_mean: Mean after each transition, shape (N, latent).
        belief_std: Standard deviation after each transition, shape (N, latent).
        transitions: Transitions in each of these beliefs, shape (N,).
        belief_episode: Episode of each of these beliefs, shape (N,).
        goal: Goal positions that the policy was told last [rad or m], by joint; empty where the task is hidden.
    """

    joint_names: tuple[str, ...]
    task: dict[str, float]
    family: str
    task_seed: int
    episodes: tuple[EpisodeTrace, ...]
    belief_mean: Array
    belief_std: Array
    transitions: Array
    belief_episode: Array
    goal: dict[str, float]


def read_messages(directory: Path) -> dict[str, list[Any]]:
    """Messages by topic, in order of arrival.

    Raises:
        RecordingError: If it is no complete recording.
    """
    messages: dict[str, list[Any]] = defaultdict(list)
    try:
        with AnyReader([directory]) as reader:
            for connection, _, data in reader.messages():
                messages[connection.topic].append(reader.deserialize(data, connection.msgtype))
    except (AnyReaderError, OSError) as error:
        raise RecordingError(f"cannot read recording {directory}: {error}") from error
    return messages


def read_trace(directory: Path, period_s: float, steps: int, namespace: str = "") -> Trace:
    """Reads an adaptation.

    Args:
        directory: A rosbag2 directory.
        period_s: Time between policy steps [s].
        steps: Steps per episode; later states belong to no episode.
        namespace: Namespace of the graph.

    Raises:
        RecordingError: If joint states, task or beliefs are missing.
    """
    messages, prefix = read_messages(directory), f"/{namespace.strip('/')}".rstrip("/")
    topics = ("joint_states", "task", "policy_node/belief", "reward", "executed_command")
    states, tasks, beliefs, rewards, executed = (messages.get(f"{prefix}/{topic}", []) for topic in topics)
    goals = messages.get(f"{prefix}/goal", [])
    if not (states and tasks and beliefs):
        raise RecordingError(f"recording {directory} lacks joint states, task or beliefs")
    errors = {_stamp_ns(message): float(message.error) for message in rewards}
    by_stamp = {_stamp_ns(message): message for message in states}
    task, names = tasks[-1], tuple(states[0].name)
    length_ns = round((steps + _LAST_STATE_LATE) * period_s * NANOSECONDS)
    answered = sorted({_stamp_ns(message) for message in executed})
    return Trace(
        joint_names=names,
        task=dict(zip(task.names, task.values.tolist(), strict=True)),
        family=task.family,
        task_seed=int(task.seed),
        episodes=tuple(
            _episode(by_stamp, errors, first_ns, min(first_ns + length_ns, following_ns))
            for first_ns, following_ns in _episode_bounds(beliefs, answered)
        ),
        belief_mean=np.array([belief.mean for belief in beliefs]),
        belief_std=np.array([belief.std for belief in beliefs]),
        transitions=np.array([belief.transitions for belief in beliefs], dtype=np.float64),
        belief_episode=np.array([belief.episode for belief in beliefs], dtype=np.float64),
        goal=dict(zip(goals[-1].name, goals[-1].position.tolist(), strict=True)) if goals else {},
    )


def _episode_bounds(beliefs: list[Any], answered: list[int]) -> list[tuple[int, int]]:
    """Stamps of the first state that each episode answered, and of the first one of the next episode [ns].

    The first belief with a hypothesis of an episode bears the stamp of the reset; in real time some states pass
    between it and the first answer.
    """
    starts: dict[int, int] = {}
    for belief in beliefs:
        if len(belief.z):
            starts.setdefault(int(belief.episode), _stamp_ns(belief))
    ordered = [starts[episode] for episode in sorted(starts)]
    first = [next((stamp for stamp in answered if stamp >= start), start) for start in ordered]
    return list(zip(first, [*ordered[1:], 2**63 - 1], strict=True))


def _episode(by_stamp: dict[int, Any], errors: dict[int, float], first_ns: int, end_ns: int) -> EpisodeTrace:
    stamps = sorted(stamp for stamp in by_stamp if first_ns <= stamp < end_ns)
    if not stamps:
        raise RecordingError(f"the recording has no joint state of the episode that starts at {first_ns} ns")
    names = tuple(by_stamp[stamps[0]].name)
    order = {stamp: [tuple(by_stamp[stamp].name).index(name) for name in names] for stamp in stamps}
    return EpisodeTrace(
        time_s=np.array([(stamp - first_ns) / NANOSECONDS for stamp in stamps]),
        position=np.array([by_stamp[stamp].position[order[stamp]] for stamp in stamps]),
        error=np.array([errors.get(stamp, np.nan) for stamp in stamps]),
    )


def _stamp_ns(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * NANOSECONDS + int(stamp.nanosec)
