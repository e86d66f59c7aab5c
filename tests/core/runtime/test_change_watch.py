# SPDX-License-Identifier: Apache-2.0
"""A task that has changed is noticed; a belief that was wrong from the start, or knows nothing, is no change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meta_rl_core.belief import TaskBelief
from meta_rl_core.bundle import Bundle, write_bundle
from meta_rl_core.errors import InvalidValueError, NonFiniteError
from meta_rl_core.runtime.change_watch import FEWEST_BEFORE, LEAK, LONGEST_DOUBT, ChangeWatch
from meta_rl_core.runtime.context import Transition
from tests.helpers.bundles import add_change_network, random_parts_of
from tests.helpers.toy_family import LineFamily, LineReward

ALARM = 6.0
PRIOR = TaskBelief.prior(1)


@pytest.fixture(scope="module")
def judging(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A policy whose log odds of a change are 2 |reward - mean of the belief| - 1."""
    parts = random_parts_of(LineFamily().spec, LineReward(), latent_dim=1, reward_scale_in_context=1.0)
    return write_bundle(tmp_path_factory.mktemp("judging") / "policy", *add_change_network(*parts, ALARM))


def believing(mean: float, transitions: int = 1) -> TaskBelief:
    return TaskBelief(np.array([1.0]), np.array([mean]), transitions)


def rewarded(reward: float) -> Transition:
    spec = LineFamily().spec
    still = np.zeros(spec.observation_dim)
    return Transition(still, np.zeros(spec.action_dim), reward, still)


def trusting(bundle: Bundle, fitting: int = FEWEST_BEFORE) -> ChangeWatch:
    """A watch whose belief, of mean 0, was right for so many transitions."""
    watch = ChangeWatch(bundle, believing(0.0))
    for _ in range(fitting):
        assert not watch.observed(rewarded(0.0), believing(0.0))
        assert watch.evidence == 0.0
    return watch


def test_log_odds_follow_the_belief_and_are_cut_at_four(judging: Bundle) -> None:
    watch = ChangeWatch(judging, PRIOR)
    assert watch.log_odds(rewarded(0.0), believing(0.0)) == pytest.approx(-1.0)
    assert watch.log_odds(rewarded(3.0), believing(1.0)) == pytest.approx(3.0)
    assert watch.log_odds(rewarded(-3.0), believing(0.0)) == 4.0  # 2 * 3 - 1 = 5


def test_a_change_is_noticed_by_the_second_transition_that_is_worth_more_than_the_alarm(
    judging: Bundle,
) -> None:
    watch = trusting(judging)
    assert not watch.observed(rewarded(5.0), believing(0.1))
    assert watch.evidence == pytest.approx(4.0 - LEAK)
    # Evidence 2 * 3.9 = 7.8. One task of mean 0.2 would explain the 20 before with 20 * 0.6 and the two since with
    # -2 * 4, a sum of 4; two tasks explain them with 20 * 1 and 0: by 16 better.
    assert watch.observed(rewarded(5.0), believing(0.2))
    assert watch.strength == pytest.approx(2 * (4.0 - LEAK))
    assert watch.doubted == 2
    assert watch.judged_by.mean == 0.0


def test_the_belief_from_before_the_doubt_judges_however_fast_the_new_task_teaches(judging: Bundle) -> None:
    watch = trusting(judging)
    watch.observed(rewarded(5.0), believing(5.0))
    assert watch.log_odds(rewarded(5.0), believing(5.0)) == pytest.approx(-1.0)
    assert watch.observed(rewarded(5.0), believing(5.0))


def test_a_belief_that_never_fitted_is_no_change(judging: Bundle) -> None:
    watch = ChangeWatch(judging, believing(0.0))
    for _ in range(5 * LONGEST_DOUBT - 1):
        assert not watch.observed(rewarded(5.0), believing(0.0))
    assert watch.evidence > ALARM


def test_one_belief_that_explains_before_and_after_is_no_change(judging: Bundle) -> None:
    watch = ChangeWatch(judging, believing(0.0))
    for _ in range(FEWEST_BEFORE):
        watch.observed(rewarded(0.2), believing(0.0))
    for _ in range(LONGEST_DOUBT - 1):
        assert not watch.observed(rewarded(0.8), believing(0.5))
    # Each of the 24 speaks with 2 * 0.8 - 1 against the trusted belief. Before the doubt that one fits with 0.6 each;
    # the present one with 0.4 each, before and since.
    assert watch.evidence == pytest.approx(24 * (0.6 - LEAK))
    assert watch.strength == pytest.approx(20 * 0.6 - (20 + 24) * 0.4)


def test_nothing_can_have_changed_while_the_belief_is_still_being_made(judging: Bundle) -> None:
    early = trusting(judging, FEWEST_BEFORE - 1)
    assert not any(early.observed(rewarded(5.0), believing(0.0)) for _ in range(10))
    assert early.evidence > ALARM


def test_a_doubt_that_leads_nowhere_is_given_up_and_the_present_belief_trusted(judging: Bundle) -> None:
    watch = trusting(judging, 0)
    for step in range(1, LONGEST_DOUBT + 1):
        assert not watch.observed(rewarded(5.0), believing(5.0))
        assert watch.doubted == step % LONGEST_DOUBT
    assert watch.evidence == 0.0
    watch.observed(rewarded(5.0), believing(5.0))
    assert watch.judged_by.mean == 5.0


def test_another_belief_begins_with_nothing(judging: Bundle) -> None:
    watch = trusting(judging)
    watch.observed(rewarded(5.0), believing(0.1))
    watch.begin(PRIOR)
    assert (watch.evidence, watch.strength, watch.doubted) == (0.0, 0.0, 0)
    assert not any(watch.observed(rewarded(5.0), believing(0.0)) for _ in range(5))


def test_what_is_not_finite_changes_nothing(judging: Bundle) -> None:
    watch = trusting(judging)
    watch.observed(rewarded(5.0), believing(0.1))
    before = watch.evidence, watch.doubted
    with pytest.raises(NonFiniteError, match="no finite answer"):
        watch.observed(rewarded(np.inf), believing(0.1))
    assert (watch.evidence, watch.doubted) == before


def test_an_alarm_that_is_none_and_a_bundle_that_cannot_tell_are_refused(
    judging: Bundle, tmp_path: Path
) -> None:
    for alarm in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(InvalidValueError, match="positive number of nats"):
            ChangeWatch(judging, PRIOR, alarm)
    assert ChangeWatch(judging, PRIOR).alarm == ALARM
    plain = write_bundle(tmp_path / "plain", *random_parts_of(LineFamily().spec, LineReward(), latent_dim=1))
    with pytest.raises(InvalidValueError, match="pitaya fit-change"):
        ChangeWatch(plain, PRIOR)
