# SPDX-License-Identifier: Apache-2.0
"""A node that died is started again three times within any minute, and after that never."""

from pitaya_nodes.restarts import RestartBudget


def test_three_restarts_within_a_minute_and_then_none_ever() -> None:
    budget = RestartBudget()
    assert [budget.take(now_s) for now_s in (0.0, 10.0, 59.0, 60.0)] == [True, True, True, False]
    assert budget.spent
    assert not budget.take(10_000.0)


def test_restarts_further_apart_are_permitted_for_ever() -> None:
    budget = RestartBudget()
    assert all(budget.take(20.5 * count) for count in range(1000))
    assert not budget.spent
