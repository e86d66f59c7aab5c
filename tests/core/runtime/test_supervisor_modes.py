# SPDX-License-Identifier: Apache-2.0
"""Every way from mode to mode, what latches, what a person clears, and limits that make no sense."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.supervisor import Action, Limits, Mode, State
from tests.helpers.supervised import GATE, GOOD, MS, Node, active


def test_a_stop_wins_over_everything_and_outlives_deactivation_until_a_person_clears_it() -> None:
    node = active()
    outcome = node.call(stop="button", fault="broken", hold="late")
    assert (outcome.state.mode, outcome.action, outcome.reason) == (Mode.STOPPED, Action.HOLD, "button")
    assert node.call(active=False).state.mode is Mode.STOPPED
    assert node.call(active=True, sample=GOOD).state.mode is Mode.STOPPED
    assert node.actions[-2:] == [Action.SILENT] * 2
    assert node.call(clear=True, stop="button").state.mode is Mode.STOPPED
    assert node.call(clear=True).state.mode is Mode.ACTIVE


@pytest.mark.parametrize(
    "before", [{"moving": False}, {"hold": "late"}, {"fault": "broken"}, {"active": False}]
)
def test_a_stop_commands_the_measured_position_from_every_mode(before: dict[str, Any]) -> None:
    node = active()
    node.call(**before)
    assert node.call(stop="button").action is Action.HOLD


def test_deactivating_clears_a_fault_and_forgets_what_was_counted() -> None:
    node = active()
    node.call(fault="broken", limited=True, skipped=1)
    assert (node.mode, node.state.reason) == (Mode.FAULT, "broken")
    node.call(active=False, fault="still broken", hold="late")
    assert node.state == State(Mode.INACTIVE, "not active")
    assert node.call(sample=GOOD).state.mode is Mode.ACTIVE


def test_the_first_fault_is_the_reason_and_a_hold_below_it_is_kept() -> None:
    node = active()
    node.call(fault="first")
    outcome = node.call(fault="second", hold="late")
    assert (outcome.reason, outcome.state.hold) == ("first", "late")
    node.call(clear=True, hold="late")
    assert (node.mode, node.state.reason) == (Mode.HOLD, "late")


def test_a_clock_that_goes_back_starts_the_ages_anew() -> None:
    node = Node(Limits(command_age_s=0.25), sample=GOOD, commanded=True, tracking_error_rad=1.0)
    node.now_ns = -3600_000 * MS
    node.call(tracking_error_rad=1.0)
    assert (node.mode, node.state.good_ns) == (Mode.ACTIVE, node.now_ns)
    assert (node.state.command_ns, node.state.far_since_ns) == (node.now_ns, node.now_ns)
    assert node.call(51 * MS).state.mode is Mode.HOLD


WAYS: dict[Mode, dict[str, Any]] = {
    Mode.INACTIVE: {"active": False},
    Mode.READY: {"moving": False},
    Mode.ACTIVE: {},
    Mode.HOLD: {"hold": "late"},
    Mode.FAULT: {"fault": "broken"},
    Mode.STOPPED: {"stop": "button"},
}
HOLDS = {(Mode.ACTIVE, Mode.HOLD), (Mode.ACTIVE, Mode.FAULT)} | {
    (before, Mode.STOPPED) for before in Mode if before is not Mode.STOPPED
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(Mode, Mode)))
def test_every_way_from_mode_to_mode(before: Mode, after: Mode) -> None:
    node = Node(GATE, **WAYS[before])
    assert node.mode is before
    outcome = node.call(**WAYS[after])
    latched = max(before, after) if before >= Mode.FAULT else after
    if before is Mode.FAULT and after is Mode.INACTIVE:
        latched = Mode.INACTIVE
    assert outcome.state.mode is latched
    expected = Action.FORWARD if latched is Mode.ACTIVE else Action.SILENT
    assert outcome.action is (Action.HOLD if (before, latched) in HOLDS else expected)
    cleared = node.call(clear=True, **WAYS[after])
    assert cleared.state.mode is after


def test_limits_scale_with_the_period_but_no_fault_comes_within_a_second() -> None:
    assert Limits.for_period(0.1) == Limits()
    assert Limits.for_period(0.05) == Limits(tracking_s=0.25, limited_window=40)
    assert Limits.for_period(0.2) == Limits(fault_age_s=2.0, tracking_s=1.0, limited_window=10)
    assert Limits.for_period(10.0).limited_window == 1


@pytest.mark.parametrize("period_s", [0.0, -0.1, math.nan, math.inf])
def test_a_period_that_is_none_is_refused(period_s: float) -> None:
    with pytest.raises(InvalidValueError, match="period_s must be positive and finite, got"):
        Limits.for_period(period_s)


@pytest.mark.parametrize(
    ("name", "bad", "least"),
    [
        *((name, bad, "positive and finite") for name in ("state_age_s", "fault_age_s", "command_age_s")
          for bad in (0.0, -1.0, math.inf, math.nan)),
        ("tracking_error_rad", 0.0, "positive and finite"),
        ("tracking_s", math.inf, "positive and finite"),
        ("resume_samples", -1, "at least 0"),
        ("bad_samples", 0, "at least 1"),
        ("missed_deadlines", 0, "at least 1"),
        ("limited_window", 0, "at least 1"),
    ],
)  # fmt: skip
def test_a_limit_out_of_range_is_refused(name: str, bad: float, least: str) -> None:
    with pytest.raises(InvalidValueError, match=f"{name} must be {least}, got {bad}"):
        Limits(**{name: bad})


def test_the_smallest_limits_are_allowed_and_unwatched_times_never_hold() -> None:
    Limits(resume_samples=0, bad_samples=1, missed_deadlines=1, limited_window=1, tracking_s=1e-9)
    node = Node(Limits(state_age_s=None, fault_age_s=None), sample=GOOD)
    assert node.call(10**15).state.mode is Mode.ACTIVE
