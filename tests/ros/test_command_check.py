# SPDX-License-Identifier: Apache-2.0
"""The gate's rules without ROS."""

from collections.abc import Callable

import numpy as np
import pytest

from meta_rl_core.runtime.action import JointPositionAction
from meta_rl_core.runtime.terms import JointReading
from pitaya_nodes.command_check import CommandCheck, Verdict

SECOND = 1_000_000_000
JOINTS = ("a", "b")


@pytest.fixture
def check() -> CommandCheck:
    """Two joints within +-1 rad, steps of at most 0.2 rad, states up to 0.25 s old; both measured at 0.5 rad."""
    action = JointPositionAction(
        JOINTS, center=[0, 0], half_range=[1, 1], low=[-1, -1], high=[1, 1], max_step=[0.2, 0.2]
    )
    made = CommandCheck(action, oldest_s=0.25)
    made.measured(*state(1.0, 0.5))
    return made


def state(at_s: float, position: float) -> tuple[int, Callable[[], JointReading]]:
    reading = JointReading(round(at_s * SECOND), ("x", *JOINTS), np.array([9.0, position, position]))
    return reading.stamp_ns, lambda: reading


def command(at_s: float, *position: float, names: tuple[str, ...] = JOINTS) -> JointReading:
    return JointReading(round(at_s * SECOND), names, np.array(position))


def test_a_sound_command_is_forwarded_in_bundle_order(check: CommandCheck) -> None:
    decision = check.judge(command(1.0, 0.4, 0.6, names=("b", "a")))
    assert decision.verdict is Verdict.FORWARD
    np.testing.assert_array_equal(decision.position, [0.6, 0.4])


@pytest.mark.parametrize(
    ("bad", "verdict", "said"),
    [
        (command(1.0, 0.5), Verdict.UNREADABLE, "2 numbers"),
        (command(1.0, 0.5, np.nan), Verdict.UNREADABLE, "b=nan"),
        (command(1.0, 0.5, 0.5, 0.5, names=("a", "b", "c")), Verdict.UNREADABLE, "needed exactly"),
        (command(1.0, 0.5, 0.5, names=("a", "a")), Verdict.UNREADABLE, "needed exactly"),
        (command(1.1, 0.5, 0.5), Verdict.UNKNOWN_STATE, "stamped 1.100000 s"),
        (command(1.0, 0.5, 1.01), Verdict.OUT_OF_RANGE, "b=1.0100 rad, allowed -1.0000 to 1.0000"),
        (command(1.0, 0.71, 0.5), Verdict.TOO_FAR, "a=0.7100 rad, allowed 0.3000 to 0.7000"),
    ],
)
def test_an_unsound_command_is_named(
    check: CommandCheck, bad: JointReading, verdict: Verdict, said: str
) -> None:
    decision = check.judge(bad)
    assert decision.verdict is verdict
    assert decision.position is None
    assert said in decision.reason


def test_the_very_limits_pass(check: CommandCheck) -> None:
    assert check.judge(command(1.0, 0.7, 0.3)).verdict is Verdict.FORWARD


def test_a_command_for_a_state_of_long_ago_is_stale(check: CommandCheck) -> None:
    check.measured(*state(1.25, 0.5))
    assert check.judge(command(1.0, 0.5, 0.5)).verdict is Verdict.FORWARD
    check.measured(*state(1.26, 0.5))
    assert check.judge(command(1.0, 0.5, 0.5)).verdict is Verdict.STALE


def test_commands_never_go_back_but_the_same_one_may_be_repeated(check: CommandCheck) -> None:
    check.measured(*state(1.1, 0.5))
    assert check.judge(command(1.1, 0.5, 0.5)).verdict is Verdict.FORWARD
    assert check.judge(command(1.1, 0.5, 0.5)).verdict is Verdict.FORWARD
    assert check.judge(command(1.0, 0.5, 0.5)).verdict is Verdict.OUT_OF_ORDER


def test_the_hold_is_the_measured_position_within_limits(check: CommandCheck) -> None:
    check.measured(*state(1.1, 1.3))
    stamp_ns, position = check.hold() or (0, np.zeros(2))
    assert stamp_ns == round(1.1 * SECOND)
    np.testing.assert_array_equal(position, [1.0, 1.0])


def test_a_plant_that_starts_anew_is_taken_as_new_from_its_second_state_on(check: CommandCheck) -> None:
    check.measured(*state(100.0, 0.5))
    check.measured(*state(100.01, 0.5))
    assert check.judge(command(100.01, 0.5, 0.5)).verdict is Verdict.FORWARD
    check.measured(*state(2.0, 0.5))
    check.measured(*state(2.01, 0.5))
    assert check.judge(command(2.01, 0.5, 0.5)).verdict is Verdict.FORWARD
    assert check.judge(command(100.01, 0.5, 0.5)).verdict is Verdict.UNKNOWN_STATE


def test_one_state_stamped_far_ahead_makes_no_other_look_old(check: CommandCheck) -> None:
    assert not check.measured(*state(1e6, 0.5))
    assert check.latest_ns == SECOND
    assert check.judge(command(1.0, 0.5, 0.5)).verdict is Verdict.FORWARD
    assert check.judge(command(1e6, 0.5, 0.5)).verdict is Verdict.UNKNOWN_STATE
    assert check.measured(*state(1.1, 0.5))
    assert check.judge(command(1.1, 0.5, 0.5)).verdict is Verdict.FORWARD


def test_a_command_is_waited_for_only_if_its_state_may_still_come(check: CommandCheck) -> None:
    answered = (1.0, 1.1, 2.0, 2.001)
    assert [check.overtook(round(at_s * SECOND)) for at_s in answered] == [False, True, True, False]


def test_the_time_of_a_plant_in_lock_step_may_leap() -> None:
    action = JointPositionAction(JOINTS, center=[0, 0], half_range=[1, 1], low=[-1, -1], high=[1, 1])
    made = CommandCheck(action, oldest_s=0.25, leaps=True)
    made.measured(*state(1.0, 0.5))
    assert made.overtook(100 * SECOND)
    assert made.measured(*state(100.0, 0.5))
    assert made.judge(command(100.0, 0.5, 0.5)).verdict is Verdict.FORWARD


def test_a_command_for_a_state_that_cannot_be_read_is_refused_until_it_is_shown_again(
    check: CommandCheck,
) -> None:
    check.measured(*state(1.1, np.nan))
    decision = check.judge(command(1.1, 0.5, 0.5))
    assert decision.verdict is Verdict.BAD_STATE
    assert "a=nan" in decision.reason
    check.measured(*state(1.1, 0.5))
    assert check.judge(command(1.1, 0.5, 0.5)).verdict is Verdict.FORWARD


def test_the_hold_takes_the_last_state_that_can_be_read(check: CommandCheck) -> None:
    check.measured(*state(1.1, np.inf))
    stamp_ns, position = check.hold() or (0, np.zeros(2))
    assert stamp_ns == SECOND
    np.testing.assert_array_equal(position, [0.5, 0.5])


def test_nothing_can_be_held_before_anything_was_measured() -> None:
    action = JointPositionAction(JOINTS, center=[0, 0], half_range=[1, 1], low=[-1, -1], high=[1, 1])
    assert CommandCheck(action, oldest_s=0.25).hold() is None
