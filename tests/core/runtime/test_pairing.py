# SPDX-License-Identifier: Apache-2.0
"""Transitions are paired by stamp, in any order of arrival, once, and never with a neighbour's parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.admission import AdmissionRules, Admitted, Refusal, StepRecord
from meta_rl_core.runtime.mailbox import CAPACITY, Mailbox
from meta_rl_core.runtime.pairing import TransitionPairing

PERIOD_NS = 100_000_000
Message = tuple[str, tuple[Any, ...]]


def stamp_of(episode: int, step: int) -> int:
    return 1_000_000_000 + (episode * 100 + step) * PERIOD_NS


def make_record(episode: int, step: int, last: bool = False, **changes: Any) -> StepRecord:
    # The observation and the action encode episode and step, so that a wrong pairing shows.
    values = {
        "stamp_ns": stamp_of(episode, step),
        "observation": np.array([episode, step], dtype=float),
        "action": None if last else np.array([0.01 * step]),
        "command": None if last else np.array([0.1 * step]),
    }
    return StepRecord(episode, step, **{**values, **changes})


def make_messages(episodes: int, steps: int) -> list[Message]:
    messages: list[Message] = []
    for episode in range(episodes):
        for step in range(steps + 1):
            last = step == steps
            messages.append(("record", (make_record(episode, step, last),)))
            if not last:
                messages.append(("executed", (stamp_of(episode, step), np.array([0.1 * step]))))
            # Every state is judged, also the first of an episode, whose reward belongs to no transition.
            messages.append(("reward", (stamp_of(episode, step), 100.0 * episode + step)))
    return messages


def make_pairing(timeout_s: float | None = None) -> TransitionPairing:
    return TransitionPairing(AdmissionRules(period_s=0.1), timeout_s)


def deliver(pairing: TransitionPairing, messages: list[Message]) -> list[Admitted]:
    released = []
    for name, arguments in messages:
        getattr(pairing, name)(*arguments)
        released += pairing.release()
    return released


def assert_rightly_paired(released: list[Admitted]) -> None:
    for admitted in released:
        episode, step, transition = admitted.episode, admitted.step, admitted.transition
        assert admitted.stamp_ns == stamp_of(episode, step)
        assert transition.observation.tolist() == [episode, step]
        assert transition.action.tolist() == [0.01 * step]
        assert transition.reward == 100.0 * episode + step + 1
        assert transition.next_observation.tolist() == [episode, step + 1]


@settings(deadline=None)
@given(data=st.data(), episodes=st.integers(1, 3), steps=st.integers(1, 6))
def test_every_order_of_arrival_with_duplicates_gives_the_same_transitions(
    data: Any, episodes: int, steps: int
) -> None:
    messages = make_messages(episodes, steps)
    twice = messages + data.draw(st.lists(st.sampled_from(messages), max_size=10))
    pairing = make_pairing()
    released = deliver(pairing, data.draw(st.permutations(twice)))
    assert [(a.episode, a.step) for a in released] == [(e, s) for e in range(episodes) for s in range(steps)]
    assert_rightly_paired(released)
    assert (pairing.accepted, pairing.rejected, pairing.pending) == (episodes * steps, 0, 0)


@settings(deadline=None)
@given(data=st.data(), timeout=st.sampled_from([None, 0.05, 0.2]))
def test_lost_messages_cost_their_own_transitions_and_nothing_else(data: Any, timeout: float | None) -> None:
    steps = 8
    messages = make_messages(1, steps)
    losable = [index for index, (name, _) in enumerate(messages) if name != "record"]
    lost = data.draw(st.sets(st.sampled_from(losable)))
    pairing = make_pairing(timeout)
    released = deliver(pairing, [message for index, message in enumerate(messages) if index not in lost])
    released += pairing.close_episode(0)
    lost_parts = {(messages[index][0], messages[index][1][0]) for index in lost}
    whole = [
        step
        for step in range(steps)
        if ("executed", stamp_of(0, step)) not in lost_parts
        and ("reward", stamp_of(0, step + 1)) not in lost_parts
    ]
    assert [admitted.step for admitted in released] == whole
    assert_rightly_paired(released)
    assert pairing.rejected == steps - len(whole)
    assert {refused.reason for refused in pairing.refusals} <= {Refusal.INCOMPLETE}


def test_a_late_reward_is_refused_and_never_serves_a_neighbour() -> None:
    pairing = make_pairing(timeout_s=0.2)
    late = stamp_of(0, 1)
    messages = [
        message for message in make_messages(1, 6) if message[:1] != ("reward",) or message[1][0] != late
    ]
    released = deliver(pairing, messages)
    pairing.reward(late, 1.0)
    released += pairing.release()
    assert [admitted.step for admitted in released] == [1, 2, 3, 4, 5]
    assert_rightly_paired(released)
    assert [(r.step, r.reason, r.detail) for r in pairing.refusals] == [
        (0, Refusal.INCOMPLETE, "these never came: the reward")
    ]
    assert pairing.ignored[Refusal.STALE] == 1


def test_without_a_timeout_a_transition_waits_until_the_episode_is_closed() -> None:
    pairing = make_pairing(timeout_s=None)
    messages = [message for message in make_messages(1, 3) if message[0] != "reward"]
    assert deliver(pairing, messages) == []
    assert pairing.pending == 3
    pairing.advance(stamp_of(50, 0))
    assert pairing.release() == []
    pairing.reward(stamp_of(0, 2), 2.0)
    released = pairing.close_episode(0)
    assert [admitted.step for admitted in released] == [1]
    assert (pairing.accepted, pairing.rejected, pairing.pending) == (1, 2, 0)
    assert pairing.close_episode(0) == []


def test_steps_that_are_undecided_do_not_count_once_execution_is_in_doubt() -> None:
    pairing = make_pairing()
    messages = make_messages(1, 6)
    released = deliver(pairing, messages[:-2])  # all but the last record and its reward
    pairing.distrust()
    released += deliver(pairing, messages[-2:]) + pairing.close_episode(0)
    assert [admitted.step for admitted in released] == [0, 1, 2, 3, 4]
    assert [(refused.step, refused.reason) for refused in pairing.refusals] == [(5, Refusal.INTERVENTION)]


def test_an_episode_cut_short_gives_its_finished_transitions_and_lets_the_next_begin() -> None:
    pairing = make_pairing()
    # The last record and its reward are cut off.
    released = deliver(pairing, make_messages(1, 4)[:-2]) + pairing.close_episode(0)
    assert [admitted.step for admitted in released] == [0, 1, 2]
    assert pairing.refusals[-1].detail == "these never came: the next state, the reward"
    second = [message for message in make_messages(2, 2) if stamp_in_second_episode(message)]
    assert [(a.episode, a.step) for a in deliver(pairing, second)] == [(1, 0), (1, 1)]


def stamp_in_second_episode(message: Message) -> bool:
    first = message[1][0]
    return (first.stamp_ns if isinstance(first, StepRecord) else first) >= stamp_of(1, 0)


def single_transition(change: Callable[[TransitionPairing], None], **changes: Any) -> TransitionPairing:
    """One transition whose record was changed; `change` delivers executed command and reward."""
    pairing = make_pairing()
    pairing.record(make_record(0, 0, **changes))
    pairing.record(make_record(0, 1, last=True))
    change(pairing)
    pairing.release()
    return pairing


@pytest.mark.parametrize(
    ("executed", "reward", "changes", "reason", "detail"),
    [
        ([0.0], math.nan, {}, Refusal.NON_FINITE, "reward must be finite"),
        ([math.inf], 1.0, {}, Refusal.NON_FINITE, "executed command must be finite"),
        ([0.0], 1.0, {"observation": np.array([math.nan, 0.0])}, Refusal.NON_FINITE, "observation must be"),
        ([0.0], 1.0, {"action": np.array([math.nan])}, Refusal.NON_FINITE, "action must be"),
        ([1e-3], 1.0, {}, Refusal.NOT_AS_COMMANDED, "differs from the chosen one by 0.001 rad"),
        ([0.0, 0.0], 1.0, {}, Refusal.NOT_AS_COMMANDED, "2 joints were commanded"),
        ([0.0], 1.0, {"stamp_ns": stamp_of(0, 1) - 2 * PERIOD_NS}, Refusal.IRREGULAR, "lasted 0.2 s"),
        ([0.0], 1.0, {"stamp_ns": stamp_of(0, 1) - PERIOD_NS // 4}, Refusal.IRREGULAR, "lasted 0.025 s"),
        ([0.0], 1.0, {"stamp_ns": stamp_of(0, 1)}, Refusal.IRREGULAR, "must be later"),
        ([0.0], 1.0, {"stamp_ns": stamp_of(0, 2)}, Refusal.IRREGULAR, "must be later"),
        ([0.0], 1.0, {"command": None}, Refusal.INCOMPLETE, "no action and command"),
    ],
)
def test_each_fault_is_refused_with_its_reason(
    executed: list[float], reward: float, changes: dict[str, Any], reason: Refusal, detail: str
) -> None:
    stamp_ns = changes.get("stamp_ns", stamp_of(0, 0))

    def rest(pairing: TransitionPairing) -> None:
        pairing.executed(stamp_ns, np.array(executed))
        pairing.reward(stamp_of(0, 1), reward)

    pairing = single_transition(rest, **changes)
    assert (pairing.accepted, pairing.rejected) == (0, 1)
    assert pairing.refusals[0].reason is reason
    assert detail in pairing.refusals[0].detail


def test_a_step_that_somebody_interfered_with_is_refused() -> None:
    def rest(pairing: TransitionPairing) -> None:
        pairing.touch(stamp_of(0, 0))
        pairing.executed(stamp_of(0, 0), np.zeros(1))
        pairing.reward(stamp_of(0, 1), 1.0)

    assert single_transition(rest).refusals[0].reason is Refusal.INTERVENTION


def test_of_two_messages_with_one_stamp_the_first_counts() -> None:
    def rest(pairing: TransitionPairing) -> None:
        pairing.executed(stamp_of(0, 0), np.zeros(1))
        pairing.executed(stamp_of(0, 0), np.ones(1))
        pairing.reward(stamp_of(0, 1), 1.0)
        pairing.reward(stamp_of(0, 1), 2.0)

    pairing = single_transition(rest)
    assert (pairing.accepted, pairing.ignored[Refusal.DUPLICATE]) == (1, 2)


def test_a_released_transition_can_be_withdrawn() -> None:
    pairing = make_pairing()
    admitted = deliver(pairing, make_messages(1, 2))
    pairing.withdraw(admitted[0], Refusal.NON_FINITE, "too large")
    assert (pairing.accepted, pairing.rejected) == (1, 1)
    assert pairing.refusals[-1][2:4] == (Refusal.NON_FINITE, "too large")


def test_a_transition_of_before_a_restart_can_be_withdrawn_although_it_was_never_counted() -> None:
    admitted = deliver(make_pairing(), make_messages(1, 2))
    pairing = make_pairing()
    pairing.withdraw(admitted[0], Refusal.INTERVENTION, "taken back")
    assert (pairing.accepted, pairing.rejected) == (0, 1)


def test_a_step_that_was_never_recorded_does_not_block_the_others() -> None:
    pairing = make_pairing(timeout_s=0.2)
    messages = [m for m in make_messages(1, 6) if not (m[0] == "record" and m[1][0].step == 2)]
    released = deliver(pairing, messages)
    assert [admitted.step for admitted in released] == [0, 3, 4, 5]
    assert [refused.step for refused in pairing.refusals] == [1, 2]


def test_a_full_mailbox_turns_the_newest_away() -> None:
    mailbox: Mailbox[int] = Mailbox()
    for stamp in range(CAPACITY):
        assert mailbox.put(stamp, stamp) is None
    assert mailbox.put(CAPACITY, 0) is Refusal.OVERFLOW
    mailbox.settle(CAPACITY - 2)
    assert len(mailbox) == 1
    assert mailbox.put(CAPACITY, 7) is None
    assert mailbox.get(CAPACITY) == 7
    assert mailbox.put(3, 0) is Refusal.STALE


def test_memory_stays_small_over_a_long_run() -> None:
    pairing = make_pairing(timeout_s=0.2)
    for step in range(3000):
        deliver(
            pairing,
            [
                ("record", (make_record(0, step),)),
                ("executed", (stamp_of(0, step), np.array([0.1 * step]))),
                ("reward", (stamp_of(0, step), float(step))),
            ],
        )
    assert pairing.accepted == 2999
    assert len(pairing._records) + len(pairing._executed) + len(pairing._rewards) < 10


@pytest.mark.parametrize(
    "rules",
    [
        {"period_s": 0.0},
        {"period_s": 0.1, "period_tolerance": 1.0},
        {"period_s": None, "command_tolerance_rad": -1.0},
    ],
)
def test_rules_out_of_range_are_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError):
        AdmissionRules(**rules)
    with pytest.raises(InvalidValueError):
        make_pairing(timeout_s=0.0)
