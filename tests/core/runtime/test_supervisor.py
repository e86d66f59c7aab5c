# SPDX-License-Identifier: Apache-2.0
"""The supervisor in virtual time: every bound to the nanosecond."""

from __future__ import annotations

import math
from typing import Any

import pytest

from meta_rl_core.runtime.supervisor import Action, Mode, State
from tests.helpers.supervised import BAD, GATE, GOOD, MS, Node, active


def test_a_node_that_was_never_called_is_inactive_and_says_so() -> None:
    assert State() == State(Mode.INACTIVE, "not active")
    assert (State().good, State().bad, State().missed, State().limited) == (0, 0, 0, 0)


def test_ready_sends_nothing_and_active_forwards() -> None:
    node = Node(moving=False)
    assert (node.mode, node.actions) == (Mode.READY, [Action.SILENT])
    assert node.state.reason == "nothing moves"
    node.call(sample=GOOD)
    assert (node.mode, node.actions[-1]) == (Mode.ACTIVE, Action.FORWARD)
    assert node.state.reason == "motion is permitted"
    node.call(moving=False)
    assert (node.mode, node.actions[-1]) == (Mode.READY, Action.SILENT)
    node.call(active=False)
    assert (node.mode, node.state.reason) == (Mode.INACTIVE, "not active")


def test_a_state_of_fifty_milliseconds_passes_and_one_nanosecond_more_holds_once() -> None:
    node = active()
    assert node.call(50 * MS).state.mode is Mode.ACTIVE
    outcome = node.call(1)
    assert (outcome.state.mode, outcome.action) == (Mode.HOLD, Action.HOLD)
    assert outcome.reason == "the newest sound joint state is older than 50 ms"
    assert node.call(10 * MS).action is Action.SILENT


def test_a_hold_ends_with_the_tenth_sound_state_in_a_row() -> None:
    node = active()
    node.call(51 * MS)
    assert node.good(9) == [Mode.HOLD] * 9
    assert node.state.reason == "the newest sound joint state is older than 50 ms"
    assert node.good(1) == [Mode.ACTIVE]
    assert node.actions[-1] is Action.FORWARD


@pytest.mark.parametrize("interruption", [{"sample": BAD}, {"after_ns": 51 * MS}])
def test_an_interruption_makes_the_ten_start_anew(interruption: dict[str, Any]) -> None:
    node = active()
    node.call(51 * MS)
    node.good(9)
    node.call(**interruption)
    assert node.good(9) == [Mode.HOLD] * 9
    assert node.good(1) == [Mode.ACTIVE]


def test_states_of_before_the_hold_do_not_end_it() -> None:
    node = active()
    node.good(50)
    node.call(51 * MS)
    assert node.good(1) == [Mode.HOLD]


def test_a_second_without_a_sound_state_is_a_fault_that_states_do_not_clear() -> None:
    node = active()
    assert node.call(1000 * MS).state.mode is Mode.HOLD
    outcome = node.call(1)
    assert (outcome.state.mode, outcome.action) == (Mode.FAULT, Action.SILENT)
    assert outcome.reason == "no sound joint state for more than 1 s"
    assert node.good(100) == [Mode.FAULT] * 100


def test_a_fault_is_cleared_by_a_person_but_not_while_its_cause_stands() -> None:
    node = active()
    node.call(1001 * MS)
    assert node.call(clear=True).state.mode is Mode.FAULT
    node.good(10)
    assert node.call(clear=True).state.mode is Mode.ACTIVE
    assert node.state.fault == ""


def test_ages_count_from_activation_until_a_first_state_comes() -> None:
    node = Node()
    assert node.mode is Mode.ACTIVE
    assert node.call(50 * MS).state.mode is Mode.ACTIVE
    assert node.call(1).state.mode is Mode.HOLD


def test_bad_states_neither_count_as_states_nor_renew_the_age() -> None:
    node = active()
    assert node.call(25 * MS, sample=BAD).state.mode is Mode.ACTIVE
    assert node.call(25 * MS, sample=BAD).state.mode is Mode.ACTIVE
    assert node.state.good == 0
    assert node.call(1).state.mode is Mode.HOLD


def test_the_third_bad_state_in_a_row_holds_and_two_do_not() -> None:
    node = active()
    node.call(sample=BAD), node.call(sample=BAD), node.call(sample=GOOD)
    node.call(sample=BAD), node.call(sample=BAD)
    assert node.mode is Mode.ACTIVE
    outcome = node.call(sample=BAD)
    assert (outcome.state.mode, outcome.action) == (Mode.HOLD, Action.HOLD)
    assert outcome.reason == "3 joint states in a row could not be used"
    assert node.good(10) == [Mode.HOLD] * 9 + [Mode.ACTIVE]


def test_the_third_missed_deadline_in_a_row_holds_and_two_do_not() -> None:
    node = active()
    node.call(skipped=2, sample=GOOD), node.call(skipped=0, sample=GOOD)
    node.call(skipped=1, sample=GOOD), node.call(skipped=1, sample=GOOD)
    assert (node.mode, node.state.missed) == (Mode.ACTIVE, 2)
    outcome = node.call(skipped=1, sample=GOOD)
    assert (outcome.state.mode, outcome.action) == (Mode.HOLD, Action.HOLD)
    assert outcome.reason == "3 deadlines in a row were missed"
    assert node.state.missed == 0
    assert node.good(10) == [Mode.HOLD] * 9 + [Mode.ACTIVE]


def test_three_deadlines_missed_at_once_hold() -> None:
    assert active().call(skipped=3, sample=GOOD).state.mode is Mode.HOLD


def test_an_answer_that_is_not_finite_holds_in_the_same_call() -> None:
    node = active()
    outcome = node.call(non_finite=True)
    assert (outcome.state.mode, outcome.action) == (Mode.HOLD, Action.HOLD)
    assert outcome.reason == "the policy gave no finite command"
    assert node.good(10) == [Mode.HOLD] * 9 + [Mode.ACTIVE]


def test_a_reason_to_hold_holds_while_it_stands_also_when_nothing_moves() -> None:
    node = Node(moving=False, sample=GOOD)
    assert node.call(moving=False, hold="the plant is being reset").state.mode is Mode.HOLD
    assert node.state.reason == "the plant is being reset"
    assert node.call(moving=False).state.mode is Mode.READY


def test_the_newest_cause_is_the_reason() -> None:
    node = active()
    node.call(hold="first")
    assert node.call(hold="second").reason == "second"


@pytest.mark.parametrize("flags", [{"non_finite": True}, {"sample": BAD}, {"after_ns": 5000 * MS}])
def test_what_only_matters_in_motion_leaves_a_resting_node_ready(flags: dict[str, Any]) -> None:
    node = Node(moving=False, sample=GOOD)
    for _ in range(5):
        assert node.call(moving=False, **flags).state.mode is Mode.READY


def test_commands_may_stay_away_for_the_timeout_and_one_nanosecond_more_holds_until_the_next() -> None:
    node = Node(GATE, commanded=True)
    assert node.call(250 * MS).state.mode is Mode.ACTIVE
    outcome = node.call(1)
    assert (outcome.state.mode, outcome.action) == (Mode.HOLD, Action.HOLD)
    assert outcome.reason == "no sound command for more than 0.25 s"
    assert node.call(10_000 * MS).state.mode is Mode.HOLD
    assert node.call(commanded=True).state.mode is Mode.ACTIVE


def test_commands_are_waited_for_anew_each_time_motion_begins() -> None:
    node = Node(GATE, moving=False)
    node.call(10_000 * MS, moving=False)
    assert node.call(0).state.mode is Mode.ACTIVE


def test_a_robot_that_does_not_follow_for_half_a_second_is_a_fault() -> None:
    node = Node(GATE, commanded=True)
    node.call(commanded=True, tracking_error_rad=0.31)
    for _ in range(5):
        assert node.call(100 * MS, commanded=True, tracking_error_rad=0.31).state.mode is Mode.ACTIVE
    outcome = node.call(1, commanded=True, tracking_error_rad=math.nan)
    assert (outcome.state.mode, outcome.action) == (Mode.FAULT, Action.HOLD)
    assert outcome.reason == (
        "the robot does not follow: for more than 0.5 s a joint was further than 0.3 rad from its command"
    )


def test_a_robot_that_followed_in_between_is_given_the_half_second_anew() -> None:
    node = Node(GATE, commanded=True, tracking_error_rad=0.31)
    node.call(400 * MS, commanded=True, tracking_error_rad=0.3)
    node.call(0, commanded=True, tracking_error_rad=0.31)
    node.call(300 * MS, commanded=True)  # not measured: neither far nor near
    assert node.call(200 * MS, commanded=True, tracking_error_rad=0.31).state.mode is Mode.ACTIVE
    assert node.call(1, commanded=True, tracking_error_rad=0.31).state.mode is Mode.FAULT


@pytest.mark.parametrize("calm", [{"moving": False}, {"clear": True}])
def test_rest_and_a_person_wipe_out_what_was_counted_in_motion(calm: dict[str, Any]) -> None:
    node = Node(GATE, commanded=True, tracking_error_rad=0.31, limited=True, skipped=1)
    assert (node.state.limited, node.state.missed, node.state.far_since_ns) == (1, 1, 0)
    node.call(7, **calm)
    assert (node.state.limited, node.state.missed, node.state.far_since_ns) == (0, 0, None)
    assert node.state.command_ns == 7


def test_more_than_half_of_twenty_commands_at_a_limit_are_a_fault_and_half_are_not() -> None:
    node = active(GATE)
    for _ in range(30):
        node.call(commanded=True, limited=True), node.call(commanded=True, limited=False)
    assert (node.mode, node.state.limited.bit_count()) == (Mode.ACTIVE, 10)
    node.call(commanded=True)  # no command was judged: nothing is counted
    assert node.state.limited.bit_count() == 10
    node.call(commanded=True, limited=True)  # pushes out a limited one
    assert node.mode is Mode.ACTIVE
    outcome = node.call(commanded=True, limited=True)  # pushes out a free one
    assert (outcome.state.mode, outcome.action) == (Mode.FAULT, Action.HOLD)
    assert outcome.reason == (
        "the policy is outside its domain: more than half of the last 20 commands broke a limit"
    )
