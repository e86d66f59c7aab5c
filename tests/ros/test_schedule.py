# SPDX-License-Identifier: Apache-2.0
"""Which joint states a policy answers, worked by hand in milliseconds."""

from collections.abc import Iterable

import pytest

from pitaya_nodes.schedule import TickSchedule

MS = 1_000_000


def ticks(stamps_ms: Iterable[float], period_ms: float = 100.0, first_ms: float = 0.0) -> list[float]:
    schedule = TickSchedule(period_ms / 1000.0, round(first_ms * MS))
    return [stamp for stamp in stamps_ms if schedule.ticks(round(stamp * MS))]


def test_one_state_per_period_ticks_every_time() -> None:
    assert ticks([0, 100, 200, 300]) == [0, 100, 200, 300]


def test_ten_states_per_period_tick_every_tenth() -> None:
    assert ticks(range(0, 500, 10)) == [0, 100, 200, 300, 400]


def test_states_at_thirty_hertz_tick_at_ten_hertz() -> None:
    stamps = [33.333 * number for number in range(10)]
    assert ticks(stamps) == [stamps[0], stamps[3], stamps[6], stamps[9]]


def test_the_state_nearest_to_the_grid_point_ticks() -> None:
    # States every 8 ms: 96 is 4 ms early, half the interval; 95 is further from 100 than 103.
    assert ticks([0, *range(8, 120, 8)]) == [0, 96]
    assert ticks([0, *range(7, 120, 8)]) == [0, 103]


def test_the_first_state_from_the_start_on_sets_the_grid() -> None:
    assert ticks(range(40, 300, 10), first_ms=65) == [70, 170, 270]


def test_a_late_state_does_not_shift_the_grid() -> None:
    assert ticks([0, 160, 200, 300]) == [0, 160, 200, 300]


def test_missed_grid_points_are_not_made_up_for() -> None:
    assert ticks([*range(0, 60, 10), *range(350, 510, 10)]) == [0, 350, 400, 500]


def test_no_step_is_shorter_than_a_fifth_of_the_period() -> None:
    # 185 + 20 is past the grid point 200, 180 + 20 just meets it.
    assert ticks([0, 185, 200, 300]) == [0, 185, 300]
    assert ticks([0, 180, 200, 300]) == [0, 180, 200, 300]


@pytest.mark.parametrize("rate_hz", [10.0, 50.0, 100.0, 333.0, 1000.0])
def test_jitter_of_a_fifth_of_the_interval_never_costs_a_tick(rate_hz: float) -> None:
    interval_ms = 1000.0 / rate_hz
    jitter = [0.0, 0.2, -0.2, 0.1, -0.15]
    stamps = [(number + jitter[number % 5]) * interval_ms for number in range(int(10 * rate_hz))]
    assert len(ticks(stamps, first_ms=-1000.0)) in (99, 100, 101)
