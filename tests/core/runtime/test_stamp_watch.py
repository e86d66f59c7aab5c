# SPDX-License-Identifier: Apache-2.0
"""A wild stamp is told from a clock that was set; times in nanoseconds."""

from __future__ import annotations

import pytest

from meta_rl_core.runtime.stamp_watch import Stamp, StampWatch

_S = 1_000_000_000
_TEN_MS = 10_000_000


def _fed(*stamps_ns: int) -> list[Stamp]:
    watch = StampWatch()
    return [watch.see(stamp_ns) for stamp_ns in stamps_ns]


def test_stamps_that_go_on_repeat_or_swap_places_are_sound() -> None:
    assert set(_fed(5 * _S, 5 * _S + _TEN_MS, 5 * _S + _TEN_MS, 5 * _S, 6 * _S)) == {Stamp.SOUND}


@pytest.mark.parametrize("far_ns", [2**62, 3600 * _S, 6 * _S + 1, 4 * _S - 1, 0, -(2**62)])
def test_one_wild_stamp_is_refused_and_changes_nothing_for_those_after_it(far_ns: int) -> None:
    assert _fed(5 * _S, far_ns, 5 * _S + _TEN_MS, 5 * _S + 2 * _TEN_MS) == [
        Stamp.SOUND,
        Stamp.WILD,
        Stamp.SOUND,
        Stamp.SOUND,
    ]


@pytest.mark.parametrize("far_ns", [3600 * _S, -3600 * _S])
def test_a_clock_that_was_set_counts_from_the_second_stamp_on(far_ns: int) -> None:
    assert _fed(5 * _S, far_ns, far_ns + _TEN_MS, far_ns + 2 * _TEN_MS) == [
        Stamp.SOUND,
        Stamp.WILD,
        Stamp.LEAPT,
        Stamp.SOUND,
    ]


def test_wild_stamps_that_do_not_agree_never_count() -> None:
    far = [1000 * _S, 500 * _S, 2000 * _S, 100 * _S, 3000 * _S]
    assert _fed(5 * _S, *far) == [Stamp.SOUND, *[Stamp.WILD] * len(far)]


def test_the_same_message_twice_confirms_nothing() -> None:
    assert _fed(5 * _S, 100 * _S, 100 * _S, 100 * _S + _TEN_MS)[1:] == [Stamp.WILD, Stamp.WILD, Stamp.LEAPT]


def test_a_sound_stamp_between_two_wild_ones_keeps_them_from_confirming_each_other() -> None:
    assert _fed(5 * _S, 100 * _S, 5 * _S + _TEN_MS, 100 * _S + _TEN_MS)[-1] is Stamp.WILD


def test_the_first_stamp_after_a_silence_is_doubted_and_the_second_one_is_not() -> None:
    assert _fed(5 * _S, 8 * _S, 8 * _S + _TEN_MS) == [Stamp.SOUND, Stamp.WILD, Stamp.LEAPT]


def test_a_late_stamp_does_not_move_back_what_others_are_held_against() -> None:
    watch = StampWatch()
    watch.see(5 * _S)
    watch.see(4 * _S)
    assert watch.latest_ns == 5 * _S
    # 6 s lies within a second of 5 s, not of 4 s.
    assert watch.see(6 * _S) is Stamp.SOUND
