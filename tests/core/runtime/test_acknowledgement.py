# SPDX-License-Identifier: Apache-2.0
"""Commands that a robot does not acknowledge are noticed; stalls and set clocks are not taken for a loss."""

from __future__ import annotations

import math

import pytest

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.acknowledgement import Acknowledgements

MS = 1_000_000


@pytest.fixture
def commands() -> Acknowledgements:
    """One command is on its way: it answers the state of 1,000 ms and left at 5,000 ms of the sender's clock."""
    made = Acknowledgements(0.2)
    made.sent(1000 * MS, 5000 * MS)
    return made


def test_a_command_is_lost_once_more_than_the_patience_has_passed_on_both_clocks(
    commands: Acknowledgements,
) -> None:
    assert commands.complaint(1200 * MS, 5200 * MS) == ""
    said = commands.complaint(1210 * MS, 5215 * MS)
    assert said == (
        "the robot does not follow: for 0.21 s it has not told that it carries out the command for the state stamped "
        "1.000 s, allowed 0.2 s; commands get lost on the way, or its own log says why it takes none"
    )


def test_an_acknowledged_command_is_never_lost(commands: Acknowledgements) -> None:
    commands.applied(1000 * MS)
    assert commands.complaint(9000 * MS, 9000 * MS) == ""


def test_an_acknowledgement_settles_the_commands_before_it_and_none_after_it(
    commands: Acknowledgements,
) -> None:
    commands.sent(1100 * MS, 5100 * MS)
    commands.sent(1200 * MS, 5200 * MS)
    commands.applied(1100 * MS)
    assert commands.complaint(1400 * MS, 5400 * MS) == ""
    assert "stamped 1.200 s" in commands.complaint(1410 * MS, 5410 * MS)


def test_an_acknowledgement_of_something_else_settles_nothing(commands: Acknowledgements) -> None:
    commands.applied(999 * MS)
    commands.applied(1001 * MS)
    assert commands.complaint(1300 * MS, 5300 * MS)


def test_commands_that_nobody_tells_of_do_not_pile_up(commands: Acknowledgements) -> None:
    for index in range(1000):
        commands.sent(2000 * MS + index, 6000 * MS)
    assert commands.complaint(2000 * MS + 1000, 9000 * MS) == ""  # the first ones have made room
    assert len(commands._open) == 256


def test_a_robot_that_stood_still_has_lost_nothing(commands: Acknowledgements) -> None:
    assert commands.complaint(1010 * MS, 7000 * MS) == ""


def test_a_clock_of_the_robot_that_was_set_forward_or_back_is_no_loss(commands: Acknowledgements) -> None:
    assert commands.complaint(3_600_000 * MS, 5010 * MS) == ""
    assert commands.complaint(0, 5300 * MS) == ""


def test_nothing_is_lost_before_the_first_state_or_after_a_new_beginning(commands: Acknowledgements) -> None:
    assert commands.complaint(None, 9000 * MS) == ""
    commands.begin()
    assert commands.complaint(9000 * MS, 9000 * MS) == ""


@pytest.mark.parametrize("patience_s", [0.0, -0.2, math.nan])
def test_a_patience_that_is_not_positive_is_refused(patience_s: float) -> None:
    with pytest.raises(InvalidValueError, match=rf"patience_s must be positive, got {patience_s}$"):
        Acknowledgements(patience_s)
