# SPDX-License-Identifier: Apache-2.0
"""Random walks of the supervisor against laws that are written over the whole history of a walk.

Runs 100 walks; SUPERVISOR_WALKS=5000 makes the long form (`make supervisor-walks`).
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from meta_rl_core.runtime.supervisor import Action, Flags, Limits, Mode, Sample, State, supervise

MS = 1_000_000
LIMITS = Limits(command_age_s=0.25)
WALKS = int(os.environ.get("SUPERVISOR_WALKS", "100"))


class SupervisorWalk(RuleBasedStateMachine):
    """Time, lifecycle, motion and events in any order; `history` keeps what was told and what came of it."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns, self.state = 0, State()
        self.active, self.moving, self.hold = True, False, ""
        self.history: list[tuple[int, Flags, State, Action]] = []

    def call(self, **flags: Any) -> None:
        told = Flags(active=self.active, moving=self.moving, hold=self.hold, **flags)
        before = self.state
        outcome = supervise(self.now_ns, told, before, LIMITS)
        assert outcome == supervise(self.now_ns, told, before, LIMITS)
        self.state = outcome.state
        self.history.append((self.now_ns, told, outcome.state, outcome.action))

    @rule(ms=st.sampled_from([0, 1, 10, 10, 10, 49, 50, 51, 100, 251, 1001]))
    def time_passes(self, ms: int) -> None:
        self.now_ns += ms * MS
        self.call()

    @rule(count=st.sampled_from([1, 2, 9, 10]))
    def states_come(self, count: int) -> None:
        for _ in range(count):
            self.now_ns += 10 * MS
            self.call(sample=Sample.GOOD)

    @rule()
    def a_bad_state_comes(self) -> None:
        self.call(sample=Sample.BAD)

    @rule(moving=st.booleans())
    def motion_is_wanted_or_not(self, moving: bool) -> None:
        self.moving = moving
        self.call()

    @rule(active=st.sampled_from([True, True, False]))
    def the_lifecycle_changes(self, active: bool) -> None:
        self.active = active
        self.call()

    @rule(skipped=st.integers(0, 3))
    def a_deadline_is_kept(self, skipped: int) -> None:
        self.call(skipped=skipped, sample=Sample.GOOD)

    @rule(limited=st.booleans(), count=st.sampled_from([1, 10, 11]))
    def commands_pass(self, limited: bool, count: int) -> None:
        for _ in range(count):
            self.call(commanded=True, limited=limited)

    @rule(error_rad=st.sampled_from([0.0, 0.3, 0.31, float("nan")]))
    def following_is_measured(self, error_rad: float) -> None:
        self.call(tracking_error_rad=error_rad)

    @rule(reason=st.sampled_from(["", "held"]))
    def a_reason_to_hold_comes_or_goes(self, reason: str) -> None:
        self.hold = reason
        self.call()

    @rule(what=st.sampled_from([{"fault": "broken"}, {"stop": "button"}, {"non_finite": True}]))
    def something_breaks(self, what: dict[str, Any]) -> None:
        self.call(**what)

    @rule()
    @precondition(lambda self: self.state.mode >= Mode.FAULT)
    def a_person_clears(self) -> None:
        self.call(clear=True)

    def since(self, last: int) -> list[tuple[int, Flags, State, Action]]:
        """The history from the entry at this index on."""
        return self.history[last:]

    def last(self, condition: Any) -> int:
        """Index of the latest entry with this property, or -1."""
        return max((i for i, entry in enumerate(self.history) if condition(entry)), default=-1)

    @invariant()
    def there_is_always_a_reason(self) -> None:
        assert self.state.reason

    @invariant()
    def stopped_exactly_from_a_stop_to_a_clear(self) -> None:
        stop = self.last(lambda entry: entry[1].stop)
        clear = self.last(lambda entry: entry[1].clear)
        assert (self.state.mode is Mode.STOPPED) == (stop > clear)

    @invariant()
    def nothing_is_forwarded_unless_active_moving_and_unheld(self) -> None:
        for _, flags, state, action in self.history[-1:]:
            assert (action is Action.FORWARD) == (state.mode is Mode.ACTIVE)
            if action is Action.FORWARD:
                assert flags.active and flags.moving and not (flags.hold or flags.fault or flags.stop)

    @invariant()
    def a_fault_is_never_left_but_by_a_person_or_the_lifecycle(self) -> None:
        for before, after in zip(self.history[-2:], self.history[-1:], strict=False):
            if before[2].mode is Mode.FAULT and after[2].mode < Mode.FAULT:
                assert after[1].clear or not after[1].active

    @invariant()
    def no_command_leaves_on_states_older_than_fifty_milliseconds_or_too_few_sound_ones(self) -> None:
        if self.state.mode is not Mode.ACTIVE:
            return
        sound = self.last(lambda entry: entry[1].sample is Sample.GOOD)
        begun = self.last(lambda entry: not entry[1].active) + 1
        newest_ns = self.history[max(sound, begun)][0]
        assert self.now_ns - newest_ns <= 50 * MS
        held = self.last(lambda entry: entry[2].mode is Mode.HOLD)
        if held >= 0 and all(entry[1].moving and entry[1].active for entry in self.since(held)):
            run = 0
            for _, flags, _, _ in reversed(self.history):
                if flags.sample is Sample.BAD:
                    break
                run += flags.sample is Sample.GOOD
            assert run >= 10

    @invariant()
    def the_measured_position_is_commanded_exactly_where_motion_ends_for_a_reason(self) -> None:
        modes = [Mode.INACTIVE, *(entry[2].mode for entry in self.history)][-2:]
        for before, entry in zip(modes[:-1], self.history[-1:], strict=True):
            now = entry[2].mode
            ended = before is Mode.ACTIVE and now in (Mode.HOLD, Mode.FAULT, Mode.STOPPED)
            stopped = now is Mode.STOPPED and before is not Mode.STOPPED
            assert (entry[3] is Action.HOLD) == (ended or stopped)

    @invariant()
    def an_inactive_node_is_inactive_or_stopped(self) -> None:
        if self.history and not self.active:
            assert self.state.mode in (Mode.INACTIVE, Mode.STOPPED)


SupervisorWalk.TestCase.settings = settings(
    max_examples=WALKS, stateful_step_count=50, deadline=None, derandomize=True
)
TestSupervisorWalk = SupervisorWalk.TestCase
