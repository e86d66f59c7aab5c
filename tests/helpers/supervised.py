# SPDX-License-Identifier: Apache-2.0
"""A supervised node in virtual time."""

from __future__ import annotations

from typing import Any

from meta_rl_core.runtime.supervisor import Action, Flags, Limits, Mode, Outcome, Sample, State, supervise

MS = 1_000_000
LIMITS = Limits()
GATE = Limits(state_age_s=None, fault_age_s=None, command_age_s=0.25, resume_samples=0)
GOOD, BAD = Sample.GOOD, Sample.BAD


class Node:
    """A supervised node: calls follow each other, time passes only when told."""

    def __init__(self, limits: Limits = LIMITS, **first: Any) -> None:
        self.limits, self.state, self.now_ns = limits, State(), 0
        self.actions: list[Action] = []
        self.call(**first)

    def call(self, after_ns: int = 0, moving: bool = True, **flags: Any) -> Outcome:
        self.now_ns += after_ns
        outcome = supervise(self.now_ns, Flags(moving=moving, **flags), self.state, self.limits)
        self.state = outcome.state
        self.actions.append(outcome.action)
        assert outcome.reason == self.state.reason != ""
        return outcome

    def good(self, count: int, every_ns: int = 10 * MS) -> list[Mode]:
        return [self.call(every_ns, sample=GOOD).state.mode for _ in range(count)]

    @property
    def mode(self) -> Mode:
        return self.state.mode


def active(limits: Limits = LIMITS) -> Node:
    node = Node(limits, sample=GOOD)
    assert node.mode is Mode.ACTIVE
    return node
