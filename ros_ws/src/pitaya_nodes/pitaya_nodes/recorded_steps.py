# SPDX-License-Identifier: Apache-2.0
"""Single policy periods out of a recording: states and the commands that were executed, paired by stamp."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families.dclaw_turn import CLAW_JOINTS, PERIOD_S, VALVE_JOINT
from meta_rl_core.runtime.terms import JointReading, NameMap
from pitaya_nodes.errors import RecordingError
from pitaya_nodes.recording import NANOSECONDS, read_messages
from sim_bridge.identify.record import Steps

Array = NDArray[np.float64]
_TOLERANCE = 0.06
"""How far a period may be off, as a share of it."""
_FASTEST_RAD_S = 60.0
"""Twice what a servo's stall torque reaches against the joints' damping: who is faster was put there by a reset."""


def read_steps(directory: Path, namespace: str = "") -> Steps:
    """Every period whose states at both ends, command and former command were recorded, and that no reset cut.

    Raises:
        RecordingError: If there are none or the recording cannot be read.
        PitayaError: If joints of a D'Claw are missing or a number is not finite.
    """
    messages, prefix = read_messages(directory), f"/{namespace.strip('/')}".rstrip("/")
    states = _by_stamp(messages.get(f"{prefix}/joint_states", []), (*CLAW_JOINTS, VALVE_JOINT), velocity=True)
    commands = _by_stamp(messages.get(f"{prefix}/executed_command", []), CLAW_JOINTS, velocity=False)
    stamps = sorted(commands)
    rows = []
    seen = sorted(states)
    resets = _resets(seen, states)
    for former, now in pairwise(stamps):
        after = _state_after(seen, now)
        if after is None or bisect_right(resets, former) != bisect_right(resets, after):
            continue
        if now in states and _is_period(now - former):
            rows.append((states[now], commands[former], commands[now], states[after]))
    if not rows:
        raise RecordingError(
            f"recording {directory} holds no two states one period of {PERIOD_S:g} s apart with executed commands; "
            "record joint_states and executed_command while the hand moves"
        )
    return Steps(*(np.array(part) for part in zip(*rows, strict=True)))


def _by_stamp(messages: Sequence[Any], joints: tuple[str, ...], *, velocity: bool) -> dict[int, Array]:
    names, found = NameMap(joints, needs_velocity=velocity), {}
    for message in messages:
        stamp_ns = int(message.header.stamp.sec) * NANOSECONDS + int(message.header.stamp.nanosec)
        read = names.arrange(
            JointReading(
                stamp_ns,
                tuple(message.name if velocity else message.joint_names),
                np.asarray(message.position),
                np.asarray(message.velocity) if velocity else None,
            )
        )
        found[stamp_ns] = (
            read.position if read.velocity is None else np.concatenate([read.position, read.velocity])
        )
    return found


def _resets(stamps: list[int], states: dict[int, Array]) -> list[int]:
    """Stamps of states to which no joint can have moved from the one before: in lock-step a reset takes no time."""
    if len(stamps) < 2:
        return []
    position = np.array([states[stamp][: len(CLAW_JOINTS) + 1] for stamp in stamps])
    speed = np.abs(np.diff(position, axis=0)).max(axis=1) / (np.diff(stamps) / NANOSECONDS)
    return [stamps[index + 1] for index in np.flatnonzero(speed > _FASTEST_RAD_S)]


def _state_after(stamps: list[int], now: int) -> int | None:
    """The recorded state nearest to one period later, where one lies near enough."""
    due = now + round(PERIOD_S * NANOSECONDS)
    place = bisect_left(stamps, due)
    near = min(stamps[max(place - 1, 0) : place + 1], key=lambda stamp: abs(stamp - due), default=now)
    return near if _is_period(near - now) else None


def _is_period(difference_ns: int) -> bool:
    return abs(difference_ns / (PERIOD_S * NANOSECONDS) - 1.0) <= _TOLERANCE
