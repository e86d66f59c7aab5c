# SPDX-License-Identifier: Apache-2.0
"""ROBEL's Turn reward, worked by hand, and the targets it is asked about."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from meta_rl_core.families.dclaw_turn import (
    RESET_POSE_RAD,
    DClawTurnReward,
    heldout_targets,
    training_targets,
    wrap_angle,
)
from meta_rl_core.tasks import Judgement

Array = NDArray[np.float64]


def judge(
    valve: float, target: float, offset: tuple[float, ...] = (), speed: tuple[float, ...] = ()
) -> Judgement:
    """Judges one step; offset and speed apply to the first joints."""
    signals = np.concatenate([RESET_POSE_RAD, np.zeros(9), [valve]])
    signals[: len(offset)] += offset
    signals[9 : 9 + len(speed)] = speed
    return DClawTurnReward().judge(signals, np.zeros(9), np.array([target]))


def test_resting_far_from_the_target_costs_five_per_radian() -> None:
    judged = judge(valve=0.0, target=-np.pi)
    assert judged.reward == pytest.approx(-5 * np.pi)
    assert judged.sparse_reward == 0.0
    assert judged.error == pytest.approx(np.pi)
    assert not judged.success


def test_a_perfect_hold_earns_sixty() -> None:
    judged = judge(valve=1.0, target=1.0)
    assert judged.reward == pytest.approx(60.0)
    assert judged.sparse_reward == pytest.approx(60.0)
    assert judged.success


@pytest.mark.parametrize(
    ("error", "bonus", "success"),
    [(0.09, 60.0, True), (0.11, 10.0, False), (0.24, 10.0, False), (0.26, 0.0, False)],
)
def test_bonuses_begin_at_a_quarter_and_a_tenth_of_a_radian(
    error: float, bonus: float, success: bool
) -> None:
    judged = judge(valve=0.0, target=error)
    assert judged.reward == pytest.approx(bonus - 5 * error)
    assert judged.sparse_reward == pytest.approx(bonus)
    assert judged.success == success


def test_the_error_goes_the_short_way_round() -> None:
    assert judge(valve=3.0, target=-3.0).error == pytest.approx(2 * np.pi - 6.0)
    assert judge(valve=2 * np.pi, target=0.0).error == pytest.approx(0.0, abs=1e-12)


def test_the_pose_costs_its_euclidean_distance() -> None:
    # 3-4-5 triangle, with the perfect hold's 60 on top.
    assert judge(0.0, 0.0, offset=(0.3, 0.4)).reward == pytest.approx(60.0 - 0.5)


def test_only_joints_of_at_least_half_a_radian_per_second_cost_for_their_speed() -> None:
    assert judge(0.0, 0.0, speed=(0.49, -0.49)).reward == pytest.approx(60.0)
    assert judge(0.0, 0.0, speed=(0.5, 0.4)).reward == pytest.approx(59.5)
    assert judge(0.0, 0.0, speed=(3.0, -4.0, 0.3)).reward == pytest.approx(55.0)


def test_wrapped_angles_lie_in_the_half_open_circle() -> None:
    angles = wrap_angle(np.array([0.0, np.pi, -np.pi, 3 * np.pi, 7.0, -7.0]))
    np.testing.assert_allclose(
        angles, [0.0, -np.pi, -np.pi, -np.pi, 7.0 - 2 * np.pi, 2 * np.pi - 7.0], atol=1e-12
    )


def test_training_targets_cover_the_circle_and_heldout_ones_keep_a_milliradian_away() -> None:
    training = training_targets()
    assert training.shape == (100, 1)
    assert ((training >= -np.pi) & (training < np.pi)).all()
    gaps = np.diff(np.sort(training[:, 0]), append=training.min() + 2 * np.pi)
    assert gaps.max() < 0.5
    heldout = heldout_targets(2000, 11)
    assert np.abs(wrap_angle(heldout - training[:, 0])).min() >= 1e-3
    counts, _ = np.histogram(heldout, bins=8, range=(-np.pi, np.pi))
    assert counts.min() > 180
