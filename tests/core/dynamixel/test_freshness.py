# SPDX-License-Identifier: Apache-2.0
"""How late a reading is, by the motor's own milliseconds."""

import pytest

from meta_rl_core.dynamixel.freshness import MotorClock


def clock_after(*readings: tuple[int, float]) -> MotorClock:
    clock = MotorClock()
    for tick, now_s in readings:
        clock.take(tick, now_s)
    return clock


def test_the_first_reading_and_those_in_step_are_prompt() -> None:
    assert MotorClock().late_s(12_345, 7.0) == 0.0
    assert clock_after((100, 1.0), (110, 1.01)).late_s(120, 1.02) == 0.0


def test_a_reading_of_30_ms_ago_is_30_ms_late() -> None:
    # 0.05 s passed, 20 ms were counted; 2 % of 0.05 s may be drift.
    assert clock_after((100, 1.0)).late_s(120, 1.05) == pytest.approx(0.03 - 0.001)


def test_lateness_adds_up_and_ends_with_a_prompt_reading() -> None:
    clock = clock_after((100, 1.0), (105, 1.02))
    assert clock.late_s(115, 1.04) == pytest.approx(0.025 - 0.0008)
    assert clock.late_s(140, 1.04) == 0.0


def test_the_count_begins_again_after_32767() -> None:
    clock = clock_after((32_760, 1.0))
    assert clock.late_s(2, 1.01) == 0.0
    # A reading from before the latest one is older than that, not half a minute younger.
    assert clock.late_s(32_750, 1.0) == pytest.approx(0.01)


def test_a_clock_two_percent_slow_is_never_late() -> None:
    clock = MotorClock()
    for cycle in range(2000):
        now_s = 0.01 * cycle
        assert clock.late_s(int(980.0 * now_s), now_s) < 0.002
        clock.take(int(980.0 * now_s), now_s)
