# SPDX-License-Identifier: Apache-2.0
"""The short ways say what NumPy's say."""

import math

import numpy as np
import pytest

from meta_rl_core.runtime.vectors import all_finite, all_within, between, columns_of

NOT_FINITE = [math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("bad", NOT_FINITE)
@pytest.mark.parametrize("shape", [(9,), (1,), (3, 2), (2, 1, 3), ()])
def test_one_number_that_is_not_finite_is_found_wherever_it_stands(
    bad: float, shape: tuple[int, ...]
) -> None:
    sound = np.full(shape, 1.7e308)
    assert all_finite(sound)
    for place in np.ndindex(shape):
        broken = sound.copy()
        broken[place] = bad
        assert not all_finite(broken)


def test_nothing_is_finite_and_within() -> None:
    assert all_finite(np.empty(0))
    assert all_within(*[np.empty(0)] * 3)


def test_limits_themselves_lie_within_and_the_next_numbers_beyond_do_not() -> None:
    low, high = np.array([-1.0, 0.0]), np.array([1.0, 0.5])
    assert all_within(np.array([-1.0, 0.5]), low, high)
    for place, values in enumerate(zip(low, high, strict=True)):
        for limit, outwards in zip(values, (-math.inf, math.inf), strict=True):
            beyond = np.array([0.0, 0.25])
            beyond[place] = np.nextafter(limit, outwards)
            assert not all_within(beyond, low, high)


@pytest.mark.parametrize("bad", NOT_FINITE)
def test_what_is_not_finite_never_lies_within(bad: float) -> None:
    assert not all_within(np.array([0.0, bad]), np.full(2, -9.0), np.full(2, 9.0))


def test_clipping_gives_the_bits_of_numpy() -> None:
    generator = np.random.default_rng(0)
    values, ends = generator.normal(size=(50, 9)), np.sort(generator.normal(size=(2, 50, 9)), axis=0)
    assert between(values, *ends).tobytes() == np.clip(values, *ends).tobytes()
    assert between(values, -0.5, 0.5).tobytes() == np.clip(values, -0.5, 0.5).tobytes()


@pytest.mark.parametrize("indices", [[], [0], [3], [0, 1, 2], [2, 3], [2, 1], [0, 2], [1, 1]])
def test_columns_are_the_same_numbers_as_the_indices_one_by_one(indices: list[int]) -> None:
    values = np.arange(8.0).reshape(2, 4)
    assert values[..., columns_of(indices)].tolist() == [[row[index] for index in indices] for row in values]
