# SPDX-License-Identifier: Apache-2.0
"""A hand that is held sooner swings less far; the same seed counts the same cases."""

from pathlib import Path

import numpy as np

from benchmarks.hold_motion import swings_rad
from meta_rl_core.bundle import load_bundle


def test_a_hand_that_is_held_sooner_swings_less_far(repository: Path) -> None:
    bundle = load_bundle(repository / "policies" / "dclaw-turn")
    soon, late = (swings_rad(bundle, held_s, 12, seed=0) for held_s in (0.11, 0.25))
    assert soon.shape == late.shape == (12,)
    assert soon.min() >= 0.0
    assert 0.0 < soon.mean() < late.mean()
    np.testing.assert_array_equal(soon, swings_rad(bundle, 0.11, 12, seed=0))
