# SPDX-License-Identifier: Apache-2.0
"""A robot that does not do what it is sent is told from one that is slow, blocked in part, or hardly sent anywhere."""

from __future__ import annotations

import numpy as np
import pytest

from meta_rl_core.runtime.following import Following

STALL_RAD = 0.1


def run(gain: float, way_rad: float, steps: int, *, leftover_rad: float = 0.0) -> Following:
    """A joint that makes `gain` of each commanded way, another one that drifts on its own, halving every step."""
    following = Following(STALL_RAD)
    position = np.zeros(2)
    for _ in range(steps):
        following.error_rad(position)
        following.sent(position + np.array([way_rad, 0.0]))
        position = position + np.array([gain * way_rad, leftover_rad])
        leftover_rad /= 2.0
    following.error_rad(position)
    return following


@pytest.mark.parametrize(
    ("gain", "way_rad", "steps", "ignored"),
    [
        (0.0, 0.2, 3, True),
        (0.0, 0.2, 2, False),  # two commands are not three
        (0.119, 0.2, 3, True),
        (0.121, 0.2, 3, False),  # less than 12 % of the way is nowhere
        (-1.0, 0.2, 3, False),  # the wrong way: that is told by its distance from the command
        (0.0, 0.099, 3, False),  # hardly sent anywhere
        (0.0, 0.101, 3, True),
        (0.7, 0.2, 10, False),
    ],
)
def test_three_commands_that_lead_nowhere_are_noticed(
    gain: float, way_rad: float, steps: int, ignored: bool
) -> None:
    assert run(gain, way_rad, steps).ignored is ignored


def test_motion_that_is_left_over_from_before_does_not_pass_for_following() -> None:
    assert run(0.0, 0.2, 3, leftover_rad=0.02).ignored


def test_a_robot_that_tells_what_it_carries_out_is_given_five_commands() -> None:
    following = Following(STALL_RAD, acknowledged=True)
    seen = []
    for _ in range(7):
        following.error_rad(np.zeros(1))
        seen.append(following.ignored)
        following.sent(np.array([0.2]))
    assert seen.index(True) == 5


def swing(lost_from: int, steps: int) -> list[bool]:
    """Whether a joint, sent forth for two commands and back for two, seems ignored after each.

    It makes half of the way that is left to the last command that reaches it.
    """
    following, position, arrived, seen = Following(STALL_RAD), np.zeros(1), np.zeros(1), []
    for step in range(steps):
        following.error_rad(position)
        seen.append(following.ignored)
        command = position + 0.2 * (1.0 if step % 4 < 2 else -1.0)
        following.sent(command)
        arrived = command if step < lost_from else arrived
        position = position + 0.5 * (arrived - position)
    return seen


def test_a_joint_on_its_way_to_the_last_command_that_reached_it_is_told_from_one_that_follows() -> None:
    assert not any(swing(lost_from=20, steps=20))
    # Command 10 is the first that is lost; 0.05, 0.025 and 0.0125 rad of the way to command 9 are made meanwhile.
    seen = swing(lost_from=10, steps=14)
    assert seen.index(True) == 13


def test_commands_that_ask_for_no_more_than_the_last_one_that_arrived_tell_nothing_until_they_do() -> None:
    following = Following(STALL_RAD)
    for command_rad in [0.1, 0.1, 0.1, 0.1, 0.1, 0.1]:
        following.error_rad(np.zeros(1))
        following.sent(np.array([command_rad]))
    # A robot that never got one of them has had six chances to; asked for is 0.1 rad of each.
    assert following.response == 0.0
    following.begin()
    following.error_rad(np.zeros(1))
    following.sent(np.array([0.15]))
    for _ in range(6):
        # The first one arrived and led to 0.14 rad; all others ask for 0.01 rad beyond it.
        following.error_rad(np.array([0.14]))
        following.sent(np.array([0.16]))
    following.error_rad(np.array([0.14]))
    assert following.response is None


def test_one_joint_that_is_read_wrong_once_does_not_make_eight_others_look_still() -> None:
    following, position = Following(STALL_RAD), np.zeros(9)
    for step in range(6):
        read = position + (np.eye(9)[0] * -1e300 if step == 3 else 0.0)
        following.error_rad(read)
        following.sent(read + 0.2)
        position = position + 0.1
        assert following.response is None or 0.3 < following.response <= 1.0
    assert not following.ignored


def test_it_is_forgotten_with_a_hold_and_not_watched_without_a_distance() -> None:
    following = run(0.0, 0.2, 5)
    following.begin()
    assert not following.ignored
    assert following.error_rad(np.zeros(2)) is None
    unwatched = Following(None)
    for _ in range(5):
        unwatched.error_rad(np.zeros(2))
        unwatched.sent(np.full(2, 0.2))
    assert not unwatched.ignored


def test_the_error_is_the_largest_distance_from_the_command() -> None:
    following = Following(STALL_RAD)
    assert following.error_rad(np.array([1.0, 2.0])) is None
    following.sent(np.array([1.2, 1.9]))
    assert following.error_rad(np.array([1.05, 1.95])) == pytest.approx(0.15)
