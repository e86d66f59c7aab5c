# SPDX-License-Identifier: Apache-2.0
"""Physics agrees with the symmetries that training relies on."""

from __future__ import annotations

import numpy as np
import pytest

from meta_rl_core.families import dclaw_symmetry as symmetry
from sim_bridge.dclaw.worlds import DClawWorlds

ALL = [(hand, valve, mirror) for hand in range(3) for valve in range(3) for mirror in (False, True)]


@pytest.mark.parametrize(("hand", "valve", "mirror"), ALL)
def test_acting_and_then_turning_equals_turning_and_then_acting(hand: int, valve: int, mirror: bool) -> None:
    count = 8
    drawn = symmetry.Symmetry(np.full(count, hand), np.full(count, valve), np.full(count, mirror))
    plain, turned = DClawWorlds(count, threads=1), DClawWorlds(count, threads=1)
    generator = np.random.default_rng(0)
    seeds = np.arange(count)
    plain.reset(np.zeros((count, 1)), seeds)
    turned.reset(np.zeros((count, 1)), seeds)
    for _ in range(12):
        plain.step(generator.uniform(-0.7, 0.7, size=(count, 9)))
    state = plain._state.copy()
    state[:, 1:10] = symmetry.apply_to_joints(state[:, 1:10], drawn)
    state[:, 10] = symmetry.apply_to_valve(state[:, 10], drawn)
    state[:, 11:20] = symmetry.apply_to_joints(state[:, 11:20], drawn)
    state[:, 20] = state[:, 20] * (-1.0 if mirror else 1.0)
    turned._state[:] = state
    turned._last_action[:] = symmetry.apply_to_joints(plain._last_action, drawn)
    action = generator.uniform(-0.7, 0.7, size=(count, 9))
    expected = symmetry.apply_to_observation(plain.step(action).observation, drawn)
    got = turned.step(symmetry.apply_to_joints(action, drawn)).observation
    # Contact solving amplifies rounding; a wrong finger or sign would be off by 0.1 and more.
    assert np.median(np.abs(got - expected)) < 1e-6
    assert np.abs(got - expected).max() < 1e-2


def test_turning_three_times_and_mirroring_twice_change_nothing() -> None:
    values = np.random.default_rng(0).normal(size=(4, 9))
    third = symmetry.Symmetry(np.ones(4, int), np.zeros(4, int), np.zeros(4, bool))
    mirror = symmetry.Symmetry(np.zeros(4, int), np.zeros(4, int), np.ones(4, bool))
    thrice = values
    for _ in range(3):
        thrice = symmetry.apply_to_joints(thrice, third)
    assert np.array_equal(thrice, values)
    assert np.array_equal(symmetry.apply_to_joints(symmetry.apply_to_joints(values, mirror), mirror), values)
    assert not np.array_equal(symmetry.apply_to_joints(values, third), values)
