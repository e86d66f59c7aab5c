# SPDX-License-Identifier: Apache-2.0
"""Two joints that exchange what they measure are named; one that is stuck, slow or read wrong is not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.swap_watch import ALARM, SwapWatch

Array = NDArray[np.float64]
JOINTS = ("a", "b", "c", "d", "e")
STEP_RAD, PERIOD_S, PERIOD_NS = 0.2, 0.1, 10**8
SAID = (
    "b and d seem to have exchanged what they measure: each moves as the other is commanded; check their cables, "
    "ids and names, and whether their commands arrive"
)


class Plant:
    """Joints that each make a share of the way from where they are to where they are sent, watched."""

    def __init__(self, alarm: float = ALARM, max_step_rad: Array | None = None) -> None:
        step_rad = np.full(5, STEP_RAD) if max_step_rad is None else max_step_rad
        self.watch = SwapWatch(JOINTS, step_rad, PERIOD_S, alarm)
        self.position, self.gain, self.order = np.zeros(5), np.full(5, 0.7), np.arange(5)
        self.stamp_ns = PERIOD_NS

    def step(self, way: Array, after_ns: int = PERIOD_NS) -> str:
        """Sends every joint `way` [rad] from where it seems to be."""
        measured = self.position[self.order]
        command = measured + way
        complaint = self.watch.measured(self.stamp_ns, measured) or self.watch.sent(command)
        self.position = self.position + self.gain * (command - self.position)
        self.stamp_ns += after_ns
        return complaint

    def exchange(self) -> None:
        """From now on joint b measures joint d and the other way round."""
        self.order = np.array([0, 3, 2, 1, 4])


def ways(generator: np.random.Generator) -> Array:
    return generator.choice([-STEP_RAD, STEP_RAD], 5)


def test_joints_far_from_each_other_are_named_by_the_first_state_that_shows_them_exchanged() -> None:
    plant = Plant()
    plant.position[3] = 1.0
    assert plant.step(np.full(5, 0.1)) == ""
    plant.exchange()
    # b seems to go from 0 to 1.07 although it was sent 0.1 away, d from 1 to 0.07: 4 for each, the most that one move
    # of one joint counts; had they been exchanged, each would have made 70 % of its way.
    assert plant.step(np.full(5, 0.1)) == SAID
    assert plant.watch.strength == pytest.approx(8.0)


def test_joints_that_leap_are_named_before_anything_is_sent_and_held_where_they_are() -> None:
    plant = Plant()
    plant.position[3] = 1.0
    plant.step(np.full(5, 0.1))
    assert plant.watch.sorted_back(plant.position) == pytest.approx(plant.position)
    plant.exchange()
    measured = plant.position[plant.order]
    assert plant.watch.measured(plant.stamp_ns, measured) == SAID
    # To hold what b seems to measure would send it to where d is.
    assert plant.watch.sorted_back(measured) == pytest.approx(plant.position)
    plant.watch.begin()
    assert plant.watch.sorted_back(measured) == pytest.approx(measured)


@pytest.mark.parametrize("seed", range(5))
def test_joints_at_the_same_place_are_named_once_their_commands_differ_a_few_times(seed: int) -> None:
    plant, generator = Plant(), np.random.default_rng(seed)
    for _ in range(100):
        assert plant.step(ways(generator)) == ""
    plant.position[:] = 0.0
    plant.exchange()
    plant.watch.begin()
    found = [plant.step(ways(generator)) for _ in range(12)]
    assert {*found[-2:]} == {SAID}
    assert {*found} <= {"", SAID}


def test_joints_that_are_always_sent_the_same_way_cannot_be_told_apart() -> None:
    plant, generator = Plant(), np.random.default_rng(0)
    plant.exchange()
    for _ in range(200):
        assert plant.step(np.full(5, generator.choice([-STEP_RAD, STEP_RAD]))) == ""


@pytest.mark.parametrize("gain", [0.0, 0.3, 1.0])
def test_joints_that_are_stuck_or_slow_or_quick_are_not_taken_for_exchanged(gain: float) -> None:
    plant, generator = Plant(), np.random.default_rng(1)
    plant.gain[:2] = gain
    for _ in range(1000):
        assert plant.step(ways(generator)) == ""


def test_wrong_readings_of_one_joint_are_no_exchange() -> None:
    plant, generator = Plant(), np.random.default_rng(2)
    for step in range(100):
        true = plant.position.copy()
        if step % 10 == 5:
            plant.position[1] += generator.uniform(-1.0, 1.0)
        assert plant.step(ways(generator)) == ""
        if step % 10 == 5:
            plant.position = true


def test_a_robot_that_is_put_back_between_two_episodes_has_not_exchanged_anything() -> None:
    plant = Plant()
    plant.position[3] = 1.0
    plant.step(np.full(5, 0.1), after_ns=6 * PERIOD_NS)
    plant.exchange()
    assert plant.step(np.full(5, 0.1)) == ""


def test_the_same_state_again_and_what_was_before_a_hold_count_for_nothing() -> None:
    plant = Plant()
    plant.position[3] = 1.0
    plant.step(np.full(5, 0.1))
    plant.exchange()
    plant.watch.begin()
    assert plant.step(np.full(5, 0.1), after_ns=0) == ""
    assert plant.step(np.full(5, 0.1)) == ""
    assert plant.watch.strength == 0.0


def test_nothing_is_watched_without_a_largest_step_or_with_an_alarm_of_zero() -> None:
    for watch in (SwapWatch(JOINTS, None, PERIOD_S), SwapWatch(JOINTS, np.full(5, STEP_RAD), PERIOD_S, 0.0)):
        assert watch.measured(1, np.array([0.0, 0, 0, 1, 0])) == watch.sent(np.full(5, 0.1)) == ""
        assert watch.measured(1 + PERIOD_NS, np.array([0.0, 1, 0, 0, 0])) == ""
    with pytest.raises(InvalidValueError, match="alarm must be 0 or positive, got -1"):
        SwapWatch(JOINTS, None, PERIOD_S, -1.0)
