# SPDX-License-Identifier: Apache-2.0
"""Observations are assembled by joint name, identically for one reading and for many."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from meta_rl_core.errors import (
    BadReadingError,
    InvalidValueError,
    JointMismatchError,
    PitayaError,
)
from meta_rl_core.runtime.terms import JointReading, NameMap, Term, assemble, goal_joints_of

TERMS = (
    Term("position", ("b", "a")),
    Term("velocity", ("a",), scale=0.2),
    Term("cos", ("valve",)),
    Term("sin", ("valve",)),
    Term("last_action"),
)
NAMES = ("a", "b", "valve")


def test_terms_are_concatenated_in_order_with_their_scale() -> None:
    observation = assemble(
        TERMS,
        NAMES,
        position=np.array([0.1, 0.2, math.pi / 2]),
        velocity=np.array([5.0, 7.0, 9.0]),
        last_action=np.array([-1.0, 0.5]),
    )
    # b, a; 0.2 * 5; cos(pi/2), sin(pi/2); last action.
    assert observation == pytest.approx([0.2, 0.1, 1.0, 0.0, 1.0, -1.0, 0.5], abs=1e-15)


def test_a_batch_gives_the_same_bits_as_its_rows() -> None:
    generator = np.random.default_rng(0)
    position, velocity = generator.normal(size=(2, 5, 4, 3))
    last_action = generator.normal(size=(5, 4, 2))
    batch = assemble(TERMS, NAMES, position, velocity, last_action)
    assert batch.shape == (5, 4, 7)
    for row in np.ndindex(5, 4):
        single = assemble(TERMS, NAMES, position[row], velocity[row], last_action[row])
        assert single.tobytes() == batch[row].tobytes()


def test_assemble_names_the_joints_it_cannot_find() -> None:
    with pytest.raises(JointMismatchError, match="valve"):
        assemble(TERMS, ("a", "b"), np.zeros(2), np.zeros(2), np.zeros(2))


def test_assemble_refuses_wrong_lengths_and_missing_inputs() -> None:
    with pytest.raises(BadReadingError, match="position must have 3 numbers"):
        assemble(TERMS, NAMES, np.zeros(2), np.zeros(3), np.zeros(2))
    with pytest.raises(BadReadingError, match="velocities of a"):
        assemble(TERMS, NAMES, np.zeros(3), None, np.zeros(2))
    with pytest.raises(InvalidValueError, match="last action"):
        assemble(TERMS, NAMES, np.zeros(3), np.zeros(3))


@pytest.mark.parametrize(
    ("kind", "joints", "scale"),
    [
        ("torque", ("a",), 1.0),
        ("position", (), 1.0),
        ("last_action", ("a",), 1.0),
        ("position", ("a", "a"), 1.0),
        ("position", ("a",), math.nan),
    ],
)
def test_a_term_refuses_what_makes_no_sense(kind: str, joints: tuple[str, ...], scale: float) -> None:
    with pytest.raises(InvalidValueError):
        Term(kind, joints, scale)  # type: ignore[arg-type]


@given(order=st.permutations(range(4)), seed=st.integers(0, 2**32 - 1))
def test_permuted_readings_give_bit_identical_arrangements(order: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    names = np.array(["a", "b", "valve", "extra"])
    position, velocity = generator.normal(size=(2, 4))
    straight = NameMap(NAMES).arrange(JointReading(1, tuple(names), position, velocity))
    permuted = NameMap(NAMES).arrange(JointReading(1, tuple(names[order]), position[order], velocity[order]))
    assert permuted.names == NAMES
    assert permuted.position.tobytes() == straight.position.tobytes()
    assert permuted.velocity is not None and straight.velocity is not None
    assert permuted.velocity.tobytes() == straight.velocity.tobytes()


def test_missing_and_repeated_names_are_named() -> None:
    with pytest.raises(JointMismatchError, match="missing valve, repeated a"):
        NameMap(NAMES).arrange(JointReading(0, ("a", "b", "a"), np.zeros(3)))


@pytest.mark.parametrize("wrong", [np.zeros(2), np.zeros(4), np.zeros((1, 3)), np.zeros(0)])
def test_wrong_lengths_are_refused(wrong: NDArray[np.float64]) -> None:
    with pytest.raises(BadReadingError, match="3 numbers"):
        NameMap(NAMES).arrange(JointReading(0, NAMES, wrong))
    with pytest.raises(BadReadingError, match="3 numbers"):
        NameMap(NAMES).arrange(JointReading(0, NAMES, np.zeros(3), wrong))


def test_a_missing_velocity_is_refused_only_where_it_is_needed() -> None:
    assert NameMap(NAMES).arrange(JointReading(0, NAMES, np.zeros(3))).velocity is None
    with pytest.raises(BadReadingError, match="no velocities"):
        NameMap(NAMES, needs_velocity=True).arrange(JointReading(0, NAMES, np.zeros(3)))


def test_a_broken_number_of_a_joint_nobody_needs_is_ignored() -> None:
    reading = JointReading(0, (*NAMES, "extra"), np.array([1.0, 2.0, 3.0, math.nan]))
    assert NameMap(NAMES).arrange(reading).position.tolist() == [1.0, 2.0, 3.0]


numbers = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True)


@given(
    names=st.lists(st.sampled_from(["a", "b", "valve", "x", ""]), max_size=6),
    position=st.lists(numbers, max_size=6),
    velocity=st.none() | st.lists(numbers, max_size=6),
)
def test_any_reading_is_either_arranged_finite_or_refused_with_a_clear_error(
    names: list[str], position: list[float], velocity: list[float] | None
) -> None:
    reading = JointReading(
        0,
        tuple(names),
        np.array(position, dtype=float),
        None if velocity is None else np.array(velocity, dtype=float),
    )
    try:
        arranged = NameMap(NAMES).arrange(reading)
    except PitayaError as error:
        assert str(error)
        return
    assert np.isfinite(arranged.position).all() and arranged.position.shape == (3,)


def test_a_sender_that_changes_its_order_every_time_does_not_fill_the_memory() -> None:
    name_map = NameMap(("a",))
    for index in range(1000):
        name_map.arrange(JointReading(0, ("a", f"extra{index}"), np.zeros(2)))
    assert len(name_map._order_of) <= 64


def test_goal_terms_tell_cosine_and_sine_of_the_way_still_to_go() -> None:
    terms = (Term("goal_cos", ("b",)), Term("goal_sin", ("b", "a"), 2.0))
    assert goal_joints_of(terms) == ("b", "a")
    got = assemble(terms, ("a", "b"), np.array([0.5, 1.0]), None, goal=np.array([1.5, 0.25]))
    np.testing.assert_allclose(got, [np.cos(0.5), 2 * np.sin(0.5), 2 * np.sin(-0.25)])


@pytest.mark.parametrize("goal", [None, np.zeros(2), np.array(0.0)])
def test_a_goal_that_is_missing_or_of_another_length_is_refused(
    goal: NDArray[np.float64] | None,
) -> None:
    with pytest.raises(InvalidValueError, match="goal positions of b: give 1"):
        assemble((Term("goal_cos", ("b",)),), ("a", "b"), np.zeros(2), None, goal=goal)
