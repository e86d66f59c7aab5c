# SPDX-License-Identifier: Apache-2.0
"""What entered a belief last can be taken back, to the bit, for as long as it may be in doubt and no longer."""

import re

import numpy as np
import pytest

from meta_rl_core.belief import TaskBelief
from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.admission import Admitted
from meta_rl_core.runtime.context import Transition
from meta_rl_core.runtime.recent_evidence import RecentEvidence

MS = 1_000_000
STEP = Transition(np.zeros(1), np.zeros(1), 0.0, np.zeros(1))


class Stream:
    """Steps of 100 ms from 1 s on, each of which enters the belief when it ends."""

    def __init__(self, count: int, proof_periods: int = 3) -> None:
        self.beliefs = [TaskBelief.prior(2)]
        self.recent = RecentEvidence(0.1, proof_periods, self.beliefs[0], 900 * MS)
        for step in range(count):
            self.enter(step)

    def enter(self, step: int, stamp_ms: int | None = None) -> None:
        self.beliefs.append(self.beliefs[-1].observe(np.full(2, 0.1 * step), np.full(2, 0.5)))
        stamp_ns = (1000 + 100 * step if stamp_ms is None else stamp_ms) * MS
        self.recent.entered(Admitted(0, step, stamp_ns, STEP), self.beliefs[-1])

    def take_back(self, known_ms: int, episode_steps: int | None = None) -> list[int]:
        return [item.step for item in self.recent.take_back(known_ms * MS, episode_steps)]


def test_what_ended_within_the_proofs_time_before_the_doubt_is_taken_back_to_the_bit() -> None:
    stream = Stream(10)
    # Step 9 ended at 2.0 s. Of what the state of 2.0 s casts doubt on, step 6 ended 0.3 s before it: that is proven.
    assert stream.take_back(2000) == [7, 8, 9]
    assert stream.recent.belief is stream.beliefs[7]
    assert stream.recent.stamp_ns == 1600 * MS


def test_a_doubt_that_comes_late_reaches_as_far_back_as_one_that_comes_at_once() -> None:
    stream = Stream(13)
    assert stream.take_back(2000) == [7, 8, 9, 10, 11, 12]


def test_a_doubt_much_later_takes_nothing_back() -> None:
    stream = Stream(10)
    assert stream.take_back(2300) == []
    assert stream.recent.belief is stream.beliefs[10]


def test_a_second_doubt_about_the_same_takes_nothing_more_back() -> None:
    stream = Stream(10)
    stream.take_back(2000, episode_steps=1)
    assert stream.take_back(2000, episode_steps=1) == []
    assert stream.recent.belief is stream.beliefs[7]


def test_an_episode_that_has_just_begun_proves_nothing_of_the_one_before() -> None:
    for steps, back in ((1, [7, 8, 9]), (2, [7, 8, 9]), (3, [9]), (None, [9])):
        stream = Stream(9)
        stream.enter(9, stamp_ms=60_000)  # after a reset of a minute
        assert stream.take_back(60_200, episode_steps=steps) == back


def test_the_first_transitions_can_all_be_taken_back() -> None:
    stream = Stream(2)
    assert stream.take_back(1200) == [0, 1]
    assert stream.recent.belief is stream.beliefs[0]
    assert stream.recent.stamp_ns == 900 * MS


def test_only_so_much_is_kept_as_a_doubt_can_reach() -> None:
    stream = Stream(1000)
    # Twice the proof and one more: a clock that went back takes no more than these.
    assert stream.take_back(0) == list(range(993, 1000))
    assert stream.recent.belief is stream.beliefs[993]
    assert stream.recent.stamp_ns == (1000 + 100 * 992) * MS


def test_a_belief_that_was_put_in_place_is_beyond_doubt() -> None:
    stream = Stream(10)
    stream.recent.begin(TaskBelief.prior(2))
    assert stream.take_back(2000) == []


@pytest.mark.parametrize(("period_s", "proof_periods"), [(0.0, 3), (float("nan"), 3), (0.1, 0)])
def test_numbers_that_are_not_positive_are_refused(period_s: float, proof_periods: int) -> None:
    said = f"period_s and proof_periods must be positive, got {period_s} and {proof_periods}"
    with pytest.raises(InvalidValueError, match=f"^{re.escape(said)}$"):
        RecentEvidence(period_s, proof_periods, TaskBelief.prior(2))


def test_a_proof_may_take_a_single_step() -> None:
    assert Stream(3, proof_periods=1).take_back(1300) == [2]


def test_a_belief_that_nothing_was_seen_for_has_no_stamp() -> None:
    stream = Stream(0)
    stream.recent.begin(TaskBelief.prior(2))
    assert stream.recent.stamp_ns == 0
    assert RecentEvidence(0.1, 1, TaskBelief.prior(2)).stamp_ns == 0
