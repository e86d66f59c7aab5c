# SPDX-License-Identifier: Apache-2.0
"""Scores of an episode: each state is judged once, and sums do not depend on when judgements come."""

from __future__ import annotations

import math

import numpy as np

from pitaya_nodes.episode_scores import KEPT_STEPS, EpisodeScores, Score

STEPS = 400


def score(reward: float) -> Score:
    return Score(reward, reward, error=reward / 100.0, success=reward > 2.0)


def test_scores_are_added_up_in_the_order_of_steps_also_when_they_come_late() -> None:
    rewards = (0.1 * np.arange(STEPS + 1) ** 2).tolist()
    outcomes = set()
    for late in (0, 3, KEPT_STEPS - 1):
        scores = EpisodeScores(first_ns=0)
        for step in range(STEPS + 1 + late):
            if step <= STEPS:
                assert scores.recorded(step, step) is None
            if 0 <= step - late <= STEPS:
                assert scores.take(step - late, score(rewards[step - late]))
        outcomes.add(scores.outcome(STEPS))
    (outcome,) = outcomes
    assert outcome.episode_return == sum(rewards[1:])  # the first state judges no step
    assert (outcome.judged, outcome.final_error, outcome.success) == (STEPS, rewards[-1] / 100.0, True)


def test_a_score_that_comes_too_late_judges_nothing_and_a_second_one_changes_nothing() -> None:
    scores = EpisodeScores(first_ns=0)
    for step in range(STEPS + 1):
        scores.recorded(step, step)
        if step != STEPS - KEPT_STEPS:
            assert [scores.take(step, score(reward)) for reward in (1.0, 5.0)] == [True, False]
    assert not scores.take(STEPS - KEPT_STEPS, score(1.0))
    outcome = scores.outcome(STEPS)
    assert (outcome.judged, outcome.episode_return) == (STEPS - 1, STEPS - 1.0)


def test_a_score_that_overtook_its_state_comes_back_with_it_and_those_between_states_are_nobodys() -> None:
    scores = EpisodeScores(first_ns=10)
    assert not any(scores.take(stamp_ns, score(1.0)) for stamp_ns in (9, 15, 20, 20))
    assert scores.recorded(10, 0) is None
    assert scores.recorded(20, 1) == score(1.0)
    assert scores.recorded(30, 2) is None
    outcome = scores.outcome(2)
    assert (outcome.judged, outcome.episode_return) == (0, 0.0)
    assert math.isnan(outcome.final_error)


def test_scores_of_wild_stamps_keep_out_none_that_overtakes_its_state() -> None:
    scores = EpisodeScores(first_ns=0)
    scores.recorded(0, 0)
    for wild in range(3 * KEPT_STEPS):
        scores.take(10**15 + wild, score(9.0))
    scores.take(1, score(1.0))
    assert scores.recorded(1, 1) == score(1.0)
