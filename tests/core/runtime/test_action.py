# SPDX-License-Identifier: Apache-2.0
"""Commands follow the affine map, then the box, then the step limit from the measured position."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_rl_core.errors import InvalidValueError, NonFiniteError
from meta_rl_core.runtime.action import JointPositionAction
from meta_rl_core.runtime.fields import Fields


def make_action(**changes: object) -> JointPositionAction:
    values: dict[str, object] = {
        "joints": ("a", "b"),
        "center": [0.1, 0.0],
        "half_range": [0.4, 1.0],
        "low": [-0.2, -1.0],
        "high": [0.5, 0.9],
        "max_step": [0.2, 0.2],
    }
    return JointPositionAction(**{**values, **changes})  # type: ignore[arg-type]


def test_the_absolute_command_is_affine_within_the_limits() -> None:
    # 0.1 + 0.4 * 0.5 = 0.3, 1.0 * -0.1 = -0.1; both within box and 0.2 of the measured position.
    assert make_action().decode(np.array([0.5, -0.1]), np.array([0.2, 0.05])) == pytest.approx([0.3, -0.1])


def test_the_action_is_clipped_then_the_box_then_the_step() -> None:
    action = make_action(max_step=None)
    assert action.decode(np.array([9.0, 9.0]), np.zeros(2)) == pytest.approx([0.5, 0.9])
    assert action.decode(np.array([-1.0, -9.0]), np.zeros(2)) == pytest.approx([-0.2, -1.0])
    assert make_action().decode(np.array([9.0, 9.0]), np.zeros(2)) == pytest.approx([0.2, 0.2])


def test_a_joint_outside_its_box_returns_at_the_allowed_speed() -> None:
    assert make_action().decode(np.array([1.0, 0.0]), np.array([1.0, 0.0])) == pytest.approx([0.8, 0.0])


def test_the_displacement_mode_starts_from_the_measured_position() -> None:
    action = make_action(mode="displacement", max_step=None)
    assert action.decode(np.array([0.5, -0.5]), np.array([0.1, 0.2])) == pytest.approx([0.3, -0.3])


@given(seed=st.integers(0, 2**32 - 1))
def test_every_command_stays_within_a_step_of_the_measured_position(seed: int) -> None:
    generator = np.random.default_rng(seed)
    measured = generator.uniform(-2.0, 2.0, size=(50, 2))
    command = make_action().decode(generator.uniform(-3.0, 3.0, size=(50, 2)), measured)
    assert (np.abs(command - measured) <= 0.2 + 1e-12).all()


def test_a_batch_gives_the_same_bits_as_its_rows() -> None:
    generator = np.random.default_rng(1)
    actions, measured = generator.normal(size=(2, 30, 2))
    batch = make_action().decode(actions, measured)
    for row in range(30):
        assert make_action().decode(actions[row], measured[row]).tobytes() == batch[row].tobytes()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_numbers_never_become_a_command(bad: float) -> None:
    with pytest.raises(NonFiniteError, match="action"):
        make_action().decode(np.array([bad, 0.0]), np.zeros(2))
    with pytest.raises(NonFiniteError, match="measured position"):
        make_action().decode(np.zeros(2), np.array([0.0, bad]))


def test_wrong_lengths_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="2 numbers"):
        make_action().decode(np.zeros(3), np.zeros(2))
    with pytest.raises(InvalidValueError, match="2 numbers"):
        make_action().decode(np.zeros(2), np.zeros(1))


@pytest.mark.parametrize(
    "changes",
    [
        {"joints": ("a", "a")},
        {"joints": ()},
        {"half_range": [0.0, 1.0]},
        {"low": [0.5, -1.0]},
        {"max_step": [0.2, -0.2]},
        {"max_step": [0.2]},
        {"center": [0.0]},
        {"mode": "velocity"},
    ],
)
def test_contradictory_actions_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidValueError):
        make_action(**changes)


def test_the_vectors_cannot_be_changed_from_outside() -> None:
    center = np.array([0.1, 0.0])
    action = make_action(center=center)
    center[0] = 7.0
    assert action.center[0] == 0.1
    with pytest.raises(ValueError, match="read-only"):
        action.center[0] = 7.0


@pytest.mark.parametrize("max_step", [None, [0.2, 0.3]])
def test_an_action_survives_the_way_through_json(max_step: list[float] | None) -> None:
    action = make_action(max_step=max_step)
    again = JointPositionAction.from_fields(Fields(json.loads(json.dumps(action.to_dict())), "action"))
    assert again == action and hash(again) == hash(action)
    assert again != make_action(mode="displacement")


@pytest.mark.parametrize("mode", ["absolute", "displacement"])
def test_the_action_that_asks_for_a_command_gives_that_command(mode: str) -> None:
    action = make_action(mode=mode, max_step=[0.2, 0.3])
    generator = np.random.default_rng(0)
    for _ in range(100):
        measured = generator.uniform(action.low, action.high)
        command = action.decode(generator.uniform(-1.0, 1.0, size=2), measured)
        again = action.decode(action.encode(command, measured), measured)
        np.testing.assert_allclose(again, command, atol=1e-12)
    # What no action asks for is the action that comes nearest.
    np.testing.assert_array_equal(np.abs(action.encode(np.array([1e9, -1e9]), measured)), 1.0)
    with pytest.raises(NonFiniteError, match="command must be finite"):
        action.encode(np.array([np.nan, 0.0]), measured)
