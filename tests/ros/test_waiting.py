# SPDX-License-Identifier: Apache-2.0
"""Waiting with deadlines, on a clock of the test."""

import pytest

from meta_rl_core.errors import InvalidValueError, PitayaError
from pitaya_nodes.waiting import Waiting


class Clock:
    """Time that passes when told."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def waiting(clock: Clock) -> Waiting:
    return Waiting(clock)


def complaint() -> PitayaError:
    return InvalidValueError("too late")


def test_a_wait_ends_with_what_it_waited_for(waiting: Waiting) -> None:
    future = waiting.start(1.0, complaint)
    assert not future.done()
    waiting.finish("answer")
    assert future.result() == "answer"


def test_a_wait_ends_with_its_complaint_when_its_time_is_up(waiting: Waiting, clock: Clock) -> None:
    future = waiting.start(1.0, complaint)
    clock.now_s += 0.99
    waiting.check()
    assert not future.done()
    clock.now_s += 0.01
    waiting.check()
    with pytest.raises(InvalidValueError, match="too late"):
        future.result()


def test_progress_starts_the_timeout_anew(waiting: Waiting, clock: Clock) -> None:
    future = waiting.start(1.0, complaint)
    clock.now_s += 0.9
    waiting.progress()
    clock.now_s += 0.9
    waiting.check()
    assert not future.done()
    assert waiting.waited_s == pytest.approx(0.9)


def test_a_wait_without_a_complaint_just_ends(waiting: Waiting, clock: Clock) -> None:
    future = waiting.start(1.0, lambda: None)
    clock.now_s += 2.0
    waiting.check()
    assert future.done()
    assert future.result() is None


def test_a_condition_ends_the_wait_at_once_or_when_it_holds(waiting: Waiting) -> None:
    assert waiting.start(1.0, complaint, lambda: True).done()
    holds = False
    future = waiting.start(1.0, complaint, lambda: holds)
    waiting.check()
    assert not future.done()
    holds = True
    waiting.check()
    assert future.done()


def test_a_failure_ends_this_wait_and_every_later_one(waiting: Waiting) -> None:
    first = waiting.start(1.0, complaint)
    waiting.fail(InvalidValueError("stopped"))
    second = waiting.start(1.0, complaint, lambda: True)
    for future in (first, second):
        with pytest.raises(InvalidValueError, match="stopped"):
            future.result()


def test_a_failure_between_two_waits_is_not_forgotten(waiting: Waiting) -> None:
    waiting.fail(InvalidValueError("stopped"))
    with pytest.raises(InvalidValueError, match="stopped"):
        waiting.start(1.0, complaint).result()
