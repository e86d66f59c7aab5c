# SPDX-License-Identifier: Apache-2.0
"""Simulated hands under the shipped policy: joints that are exchanged are found, and none where none are."""

from __future__ import annotations

import numpy as np

from meta_rl_core.runtime.swap_watch import ALARM
from tests.faults.swaps import exchanged_signals, healthy_hands


def test_most_exchanges_of_two_joints_are_found_and_named_within_20_steps(tmp_path) -> None:
    tally = exchanged_signals(12, np.random.default_rng(0), tmp_path)
    assert tally.cases == 12
    assert tally.failures <= 2  # the report allows 5 % of many more
    assert tally.measured["alarms before the exchange"] == 0


def test_a_hand_with_nothing_exchanged_is_left_alone(tmp_path) -> None:
    tally = healthy_hands(24, np.random.default_rng(0), tmp_path)
    assert (tally.cases, tally.failures) == (24, 0)
    assert 0.0 < tally.measured["most evidence"] < ALARM
