# SPDX-License-Identifier: Apache-2.0
"""Adapt goals that are wrong, come at the wrong time, are cancelled, or meet a graph that does not work."""

from pathlib import Path

import pytest
from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import Transition
from pitaya_msgs.srv import SetTask

from tests.ros.graph import Graph

LONG = 100_000
"""More steps than any of these tests waits for."""


@pytest.fixture(scope="module")
def running(module_graph: Graph, bundle: Path) -> Graph:
    """Everything in lock-step; the policy gives up on a silent plant after 2 s."""
    settings = {"policy_node": {"plant_timeout_s": 2.0, "reward_timeout_s": 0.5}}
    return module_graph.up(settings, bundle=str(bundle))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"episodes": 0}, "episodes must lie in [1, 10000], got 0"),
        ({"steps_per_episode": 2_000_000}, "steps_per_episode must be at most 1000000"),
        ({"time_budget_s": -1.0}, "time_budget_s must lie in [0, 86400]"),
        ({"time_budget_s": float("nan")}, "got nan"),
        ({"sampling": "thompson"}, "sampling must be one of sample, mean, got 'thompson'"),
    ],
)
def test_a_goal_out_of_range_is_aborted_with_a_sentence(
    running: Graph, fields: dict[str, object], said: str
) -> None:
    outcome = running.probe.result(running.probe.send(**fields))
    assert outcome.status == GoalStatus.STATUS_ABORTED
    assert said in outcome.result.message
    assert not outcome.result.adapted


def test_a_second_goal_is_rejected_while_the_first_runs_and_the_first_is_cancelled(running: Graph) -> None:
    probe = running.probe
    commands, statuses = len(probe.heard["executed_command"]), len(probe.heard["policy_node/status"])
    first = probe.send(steps_per_episode=LONG)
    probe.until(lambda: len(probe.heard["executed_command"]) > commands + 20)
    second = probe.send()
    assert not second.accepted
    probe.reason("another Adapt goal runs", since=statuses)

    cancelled = first.cancel_goal_async()
    probe.until(cancelled.done)
    outcome = probe.result(first)
    assert outcome.status == GoalStatus.STATUS_CANCELED
    assert "cancelled" in outcome.result.message
    assert outcome.result.accepted > 0

    before = len(probe.heard["joint_command"])
    probe.spin(0.5)
    assert len(probe.heard["joint_command"]) == before


def test_after_a_cancelled_goal_the_next_one_runs_as_ever(running: Graph) -> None:
    outcome = running.probe.result(running.probe.send(steps_per_episode=5))
    assert outcome.status == GoalStatus.STATUS_SUCCEEDED
    assert (outcome.result.accepted, outcome.result.rejected) == (5, 0)


def test_a_spent_time_budget_ends_the_goal_and_keeps_what_was_learnt(running: Graph) -> None:
    outcome = running.probe.result(running.probe.send(steps_per_episode=LONG, time_budget_s=1.0))
    assert outcome.status == GoalStatus.STATUS_ABORTED
    assert "time budget of 1 s" in outcome.result.message
    assert outcome.result.belief.transitions == outcome.result.accepted > 0


def test_evidence_is_kept_when_the_goal_does_not_ask_for_a_reset(running: Graph) -> None:
    probe = running.probe
    first = probe.result(probe.send(steps_per_episode=6))
    second = probe.result(probe.send(steps_per_episode=4, reset_belief=False, exploration_episodes=0))
    assert first.result.belief.transitions == 6
    assert second.result.belief.transitions == 10
    assert second.result.accepted == 4


def test_the_task_can_be_set_by_seed_and_by_value_and_bad_ones_are_refused(running: Graph) -> None:
    probe = running.probe
    drawn = probe.call(SetTask, "set_task", SetTask.Request(by_seed=True, seed=11))
    again = probe.call(SetTask, "set_task", SetTask.Request(by_seed=True, seed=11))
    assert drawn.success
    assert drawn.task.values == again.task.values
    given = probe.call(SetTask, "set_task", SetTask.Request(values=[0.25]))
    assert given.success
    assert (list(given.task.values), given.task.seed) == ([0.25], -1)
    for values in ([], [0.1, 0.2], [float("nan")]):
        refused = probe.call(SetTask, "set_task", SetTask.Request(values=values))
        assert not refused.success
        assert refused.message
        assert list(refused.task.values) == [0.25]
    assert not probe.call(SetTask, "set_task", SetTask.Request(by_seed=True, seed=-3)).success
    probe.until(lambda: list(probe.heard["task"][-1].values) == [0.25])


def test_deactivating_the_policy_ends_its_goal_and_a_goal_is_then_rejected(running: Graph) -> None:
    probe = running.probe
    statuses = len(probe.heard["policy_node/status"])
    handle = probe.send(steps_per_episode=LONG)
    probe.reason("episode 0 runs", since=statuses)
    assert probe.change("policy_node", Transition.TRANSITION_DEACTIVATE)
    outcome = probe.result(handle)
    assert outcome.status == GoalStatus.STATUS_ABORTED
    assert "deactivated" in outcome.result.message
    assert not probe.send().accepted
    assert probe.change("policy_node", Transition.TRANSITION_ACTIVATE)
    assert probe.result(probe.send(steps_per_episode=3)).result.accepted == 3


def test_without_an_active_reward_node_nothing_is_moved(running: Graph) -> None:
    probe = running.probe
    assert probe.change("reward_node", Transition.TRANSITION_DEACTIVATE)
    before = len(probe.heard["joint_command"])
    outcome = probe.result(probe.send(steps_per_episode=3))
    assert outcome.status == GoalStatus.STATUS_ABORTED
    assert "nothing came within 2 s on /reward, so nothing was moved" in outcome.result.message
    assert len(probe.heard["joint_command"]) == before
    assert probe.change("reward_node", Transition.TRANSITION_ACTIVATE)


def test_a_plant_that_never_answers_ends_the_goal_within_the_timeout(running: Graph) -> None:
    probe = running.probe
    assert probe.change("sim_node", Transition.TRANSITION_DEACTIVATE)
    outcome = probe.result(probe.send())
    assert outcome.status == GoalStatus.STATUS_ABORTED
    assert "the plant refused to reset: the simulation is not active" in outcome.result.message
    assert probe.change("sim_node", Transition.TRANSITION_CLEANUP)
    before = len(probe.heard["joint_command"])
    outcome = probe.result(probe.send())
    assert outcome.status == GoalStatus.STATUS_ABORTED
    # Whether the policy has already noticed that the service is gone is a matter of milliseconds; the gate may be
    # first to see that nobody listens to it any more.
    said = outcome.result.message
    assert "service /reset_plant within 2 s" in said or "sim_node does not listen to" in said
    assert len(probe.heard["joint_command"]) == before
