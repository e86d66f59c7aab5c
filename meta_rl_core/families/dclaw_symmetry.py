# SPDX-License-Identifier: Apache-2.0
"""The D'Claw's symmetries: turned by a third and mirrored, it is the same hand over the same valve.

The three fingers stand 120 degrees apart and the valve has three equal prongs, so hand and valve may each turn by
thirds on their own; a mirror through the thumb swaps the other two fingers. Every transition thus stands for 18.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.tasks import Array

THIRD_RAD = 2.0 * np.pi / 3.0
_FINGERS = np.arange(9).reshape(3, 3)
# Which old finger (ff, mf, th) stands where the new one is after the hand turned by 0, 1 or 2 thirds
# counter-clockwise seen from above: ff at +60 degrees, mf at -60, th at 180.
_TURNED = np.array([[0, 1, 2], [2, 0, 1], [1, 2, 0]])
_MIRRORED = np.array([1, 0, 2])
_MIRROR_SIGN = np.tile([-1.0, 1.0, 1.0], 3)


class Symmetry(NamedTuple):
    """One symmetry per row, all of shape (...)."""

    hand_thirds: NDArray[np.int64]
    valve_thirds: NDArray[np.int64]
    mirror: NDArray[np.bool_]


def draw_symmetries(shape: tuple[int, ...], generator: np.random.Generator) -> Symmetry:
    """Symmetries drawn uniformly from all 18."""
    return Symmetry(
        generator.integers(3, size=shape), generator.integers(3, size=shape), generator.integers(2, size=shape) == 1
    )


def apply_to_joints(values: Array, symmetry: Symmetry) -> Array:
    """Nine finger values (positions, velocities or actions), shape (..., 9), after the symmetry."""
    fingers = np.where(symmetry.mirror[..., None], _MIRRORED[_TURNED[symmetry.hand_thirds]], _TURNED[symmetry.hand_thirds])
    columns = _FINGERS[fingers].reshape(*fingers.shape[:-1], 9)
    moved = np.take_along_axis(values, columns, axis=-1)
    return np.where(symmetry.mirror[..., None], moved * _MIRROR_SIGN, moved)


def apply_to_valve(angle_rad: Array, symmetry: Symmetry) -> Array:
    """Valve angles [rad], shape (...), after the symmetry."""
    return np.where(symmetry.mirror, -angle_rad, angle_rad) + THIRD_RAD * symmetry.valve_thirds


def apply_to_observation(observation: Array, symmetry: Symmetry) -> Array:
    """Observations of `dclaw_turn.make_robot`, shape (..., 31), after the symmetry."""
    result = np.empty_like(observation)
    for block in (slice(0, 9), slice(9, 18), slice(22, 31)):
        result[..., block] = apply_to_joints(observation[..., block], symmetry)
    valve = apply_to_valve(np.arctan2(observation[..., 19], observation[..., 18]), symmetry)
    result[..., 18], result[..., 19] = np.cos(valve), np.sin(valve)
    result[..., 20], result[..., 21] = np.cos(3.0 * valve), np.sin(3.0 * valve)
    return result


def apply_to_signals(signals: Array, symmetry: Symmetry) -> Array:
    """Signals of `DClawTurnReward`, shape (..., 19), after the symmetry."""
    result = np.empty_like(signals)
    for block in (slice(0, 9), slice(9, 18)):
        result[..., block] = apply_to_joints(signals[..., block], symmetry)
    result[..., 18] = apply_to_valve(signals[..., 18], symmetry)
    return result


def augment_transitions(transitions: dict[str, Array], generator: np.random.Generator) -> dict[str, Array]:
    """Transitions (T, B, ...) as an equivalent hand would have lived them; see `TaskFamily.augment`."""
    symmetry = draw_symmetries(transitions["action"].shape[:-1], generator)
    return {
        **transitions,
        "observation": apply_to_observation(transitions["observation"], symmetry),
        "next_observation": apply_to_observation(transitions["next_observation"], symmetry),
        "action": apply_to_joints(transitions["action"], symmetry),
        "signals": apply_to_signals(transitions["signals"], symmetry),
    }
