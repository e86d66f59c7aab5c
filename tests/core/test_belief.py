# SPDX-License-Identifier: Apache-2.0
"""The belief obeys the algebra of Gaussian products."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_rl_core.belief import TaskBelief
from meta_rl_core.errors import InvalidValueError, NonFiniteError


def _factors(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(count, 3)), generator.uniform(0.1, 2.0, size=(count, 3))


def test_two_factors_give_the_posterior_worked_out_by_hand() -> None:
    # N(1, 0.5) and N(3, 0.25): precisions 2 and 4, so precision 6, mean (2*1 + 4*3) / 6 = 7/3.
    belief = (
        TaskBelief.prior(1)
        .observe(np.array([1.0]), np.array([0.5]))
        .observe(np.array([3.0]), np.array([0.25]))
    )
    assert belief.variance[0] == pytest.approx(1 / 6)
    assert belief.mean[0] == pytest.approx(7 / 3)


def test_the_prior_counts_as_a_factor_only_when_asked() -> None:
    # With N(0, 1) in the product: precision 1 + 2 = 3, mean (0 + 2*1) / 3.
    belief = TaskBelief.prior(1, prior_in_product=True).observe(np.array([1.0]), np.array([0.5]))
    assert belief.mean[0] == pytest.approx(2 / 3)
    assert TaskBelief.prior(1).observe(np.array([1.0]), np.array([0.5])).mean[0] == pytest.approx(1.0)


def test_before_any_transition_the_belief_is_the_standard_normal() -> None:
    for flag in (False, True):
        belief = TaskBelief.prior(4, flag)
        assert belief.mean.tolist() == [0.0] * 4
        assert belief.std.tolist() == [1.0] * 4
        assert belief.kl_to_prior() == 0.0


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(0, 1000))
def test_streaming_equals_the_batch_product_in_any_order(count: int, seed: int) -> None:
    means, variances = _factors(count, seed)
    streamed = TaskBelief.prior(3)
    for row in np.random.default_rng(seed).permutation(count):
        streamed = streamed.observe(means[row], variances[row])
    batch = TaskBelief.prior(3).observe(means, variances, transitions=count)
    np.testing.assert_allclose(streamed.mean, batch.mean, rtol=0, atol=1e-9)
    np.testing.assert_allclose(streamed.variance, batch.variance, rtol=1e-12)
    assert streamed.transitions == batch.transitions == count


def test_merging_two_robots_beliefs_equals_one_robot_seeing_everything() -> None:
    means, variances = _factors(10)
    one = TaskBelief.prior(3).observe(means[:4], variances[:4], transitions=4)
    other = TaskBelief.prior(3).observe(means[4:], variances[4:], transitions=6)
    both = TaskBelief.prior(3).observe(means, variances, transitions=10)
    np.testing.assert_allclose(one.merge(other).mean, both.mean, atol=1e-12)


def test_forgetting_pulls_towards_the_prior_and_keeping_nothing_is_the_prior() -> None:
    belief = TaskBelief.prior(1, prior_in_product=True).observe(np.array([2.0]), np.array([0.1]))
    # Half of the precision 10 is 5; with the prior 6, so the mean is 5*2/6.
    assert belief.forget(0.5).mean[0] == pytest.approx(10 / 6)
    # Without it: precision 0.5*10 + 0.5*1 = 5.5, mean 5*2/5.5; all evidence kept changes nothing.
    bare = TaskBelief.prior(1).observe(np.array([2.0]), np.array([0.1]))
    assert bare.forget(0.5).mean[0] == pytest.approx(10 / 5.5)
    assert bare.forget(1.0).mean[0] == bare.mean[0]
    assert belief.forget(0.0).transitions == 0
    assert belief.forget(0.0).std[0] == 1.0


def test_kl_to_the_prior_is_the_closed_form() -> None:
    # N(1, 0.25): 0.5 * (0.25 + 1 - 1 - ln 0.25) = 0.5 * (0.25 + 1.386294)
    belief = TaskBelief.prior(1).observe(np.array([1.0]), np.array([0.25]))
    assert belief.kl_to_prior() == pytest.approx(0.818147, abs=1e-6)


def test_samples_repeat_with_the_seed_and_follow_mean_and_std() -> None:
    belief = TaskBelief.prior(2).observe(np.array([1.0, -2.0]), np.array([0.04, 0.25]))
    draws = np.stack([belief.sample(np.random.default_rng(seed)) for seed in range(4000)])
    np.testing.assert_allclose(draws.mean(axis=0), [1.0, -2.0], atol=0.03)
    np.testing.assert_allclose(draws.std(axis=0), [0.2, 0.5], atol=0.03)
    assert np.array_equal(belief.sample(np.random.default_rng(5)), belief.sample(np.random.default_rng(5)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_non_finite_factor_is_refused_and_leaves_the_belief_alone(bad: float) -> None:
    belief = TaskBelief.prior(2).observe(np.ones(2), np.ones(2))
    before = belief.mean.copy()
    with pytest.raises(NonFiniteError):
        belief.observe(np.array([bad, 0.0]), np.ones(2))
    with pytest.raises(NonFiniteError):
        belief.observe(np.ones(2), np.array([1.0, bad]))
    assert np.array_equal(belief.mean, before)


def test_wrong_shapes_and_impossible_numbers_are_refused() -> None:
    belief = TaskBelief.prior(2)
    with pytest.raises(InvalidValueError, match=r"\(2,\)"):
        belief.observe(np.ones(3), np.ones(3))
    with pytest.raises(InvalidValueError, match="negative"):
        TaskBelief(np.array([-1.0]), np.array([0.0]), 1)
    with pytest.raises(InvalidValueError, match="keep"):
        belief.forget(1.5)
    with pytest.raises(InvalidValueError, match="agree"):
        belief.merge(TaskBelief.prior(3))


def test_a_belief_cannot_be_changed_in_place() -> None:
    belief = TaskBelief.prior(2)
    with pytest.raises(ValueError, match="read-only"):
        belief.evidence_precision[0] = 5.0
