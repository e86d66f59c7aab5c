# SPDX-License-Identifier: Apache-2.0
"""One episode on a robot: answers joint states, gathers transitions, keeps count. Knows no ROS."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import PitayaError
from meta_rl_core.runtime.adapter import Adapter
from meta_rl_core.runtime.admission import Admitted, Refusal, StepRecord
from meta_rl_core.runtime.pairing import TransitionPairing
from meta_rl_core.runtime.robot_interface import RobotInterface
from meta_rl_core.runtime.terms import JointReading
from pitaya_nodes.episode_scores import EpisodeOutcome, EpisodeScores, Score
from pitaya_nodes.schedule import TickSchedule

Array = NDArray[np.float64]


class Episode:
    """Runs a policy for a number of steps and feeds what it lives through to the belief.

    Attributes:
        index: Episode index within the goal.
        steps: Steps to take.
        step: Steps taken.
        skipped: Deadlines missed before the latest state was answered; None if it needed no answer.
        last_stamp_ns: Stamp of the newest state whose transition is in the belief, or of the first state.
    """

    def __init__(
        self,
        robot: RobotInterface,
        adapter: Adapter,
        pairing: TransitionPairing,
        index: int,
        steps: int,
        first_ns: int,
        on_belief: Callable[[Admitted], None] = lambda _: None,
    ) -> None:
        """Begins: the adapter draws its hypothesis z, unless adaptation is paused.

        Args:
            robot: Observation and action of the policy.
            adapter: Acts and adapts.
            pairing: Decides which transitions count.
            index: Episode index within the goal.
            steps: Steps to take.
            first_ns: Stamp of the first state of the episode [ns]; older ones belong to the past.
            on_belief: Called with each transition that has entered the belief.
        """
        self.index, self.steps, self.step = index, steps, 0
        self.last_stamp_ns = first_ns
        self._robot, self._adapter, self._pairing = robot, adapter, pairing
        self._on_belief = on_belief
        self._first_ns = first_ns
        self._schedule = TickSchedule(robot.period_s, first_ns)
        self._last_action: Array = np.zeros(robot.action_dim)
        self._goal: Array | None = None
        self._seen_ns = first_ns - 1
        self._answered_ns: int | None = None
        self._answer: Array | None = None
        self._unrecorded: StepRecord | None = None
        self._scores = EpisodeScores(first_ns)
        self._closed = self._touched = self._interrupted = self._late = False
        self.skipped: int | None = None
        adapter.begin_episode(keep_z=pairing.paused)

    @property
    def acting(self) -> bool:
        """Whether there are steps left to take or the last one has not ended yet."""
        return not self._closed

    @property
    def complete(self) -> bool:
        """Whether the last step has ended and every transition is decided."""
        return self._closed and self._unrecorded is None and self._pairing.pending == 0

    def answer(self, reading: JointReading) -> Array | None:
        """The command [rad] for a state whose joints are in the robot's order, or None if it needs none.

        The same state again gets the same command again, since the first one may have been lost.

        Raises:
            PitayaError: If observation or action is not finite; the step is not taken.
        """
        stamp_ns, self.skipped = reading.stamp_ns, None
        if stamp_ns <= self._seen_ns:
            return self._answer if stamp_ns == self._answered_ns else None
        if self._closed or stamp_ns < self._first_ns:
            return None
        self._seen_ns = stamp_ns
        if self._interrupted:
            self._schedule, self._interrupted = TickSchedule(self._robot.period_s, stamp_ns), False
        if not self._schedule.ticks(stamp_ns):
            return None
        self.skipped = self._schedule.skipped
        self._late = self.skipped > 0
        observation = self._robot.observe(reading.position, reading.velocity, self._last_action, self._goal)
        if self.step == self.steps:
            self._unrecorded = StepRecord(self.index, self.step, stamp_ns, observation)
            self._closed = True
            return None
        action = self._robot.lessen(self._adapter.act(observation), reading.position, self._adapter.authority)
        command = self._robot.command(action, reading.position)
        self._unrecorded = StepRecord(self.index, self.step, stamp_ns, observation, action, command)
        self._last_action, self._answer, self._answered_ns = action, command, stamp_ns
        self.step += 1
        if self._touched:
            self._pairing.touch(stamp_ns)
        return command

    def touch(self, touched: bool) -> None:
        """Notes whether somebody interferes from now on; the step that runs counts as touched either way."""
        self._touched = touched
        if self._answered_ns is not None:
            self._pairing.touch(self._answered_ns)

    def tell(self, goal: Array | None) -> None:
        """Takes goal positions [rad] of the robot's goal joints; the step that runs does not count."""
        self._goal = goal
        if self._answered_ns is not None:
            self._pairing.touch(self._answered_ns)

    def interrupt(self) -> None:
        """Motion is held: the step that runs does not count, steps go on with the first state answered after it."""
        self._interrupted, self._answer = True, None
        if self._answered_ns is not None:
            self._pairing.touch(self._answered_ns)

    def executed(self, stamp_ns: int, command: Array) -> None:
        """Takes the command [rad] that reached the robot for the state stamped `stamp_ns`."""
        self._pairing.executed(stamp_ns, command)

    def score(self, stamp_ns: int, score: Score) -> None:
        """Takes the judgement of the state stamped `stamp_ns`; the first one of a stamp counts."""
        if self._scores.take(stamp_ns, score):
            self._pairing.reward(stamp_ns, score.context_reward)

    def absorb(self) -> None:
        """Lets every transition that is complete enter the belief.

        Called after the command has left, so that adapting never delays acting. After a missed deadline it gives way
        altogether: what is complete waits until a deadline is kept again, or the episode has ended.
        """
        if self._unrecorded is not None:
            record, self._unrecorded = self._unrecorded, None
            self._pairing.record(record)
            early = self._scores.recorded(record.stamp_ns, record.step)
            if early is not None:
                self.score(record.stamp_ns, early)
        if self._closed or not self._late:
            self._observe(self._pairing.release())

    def close(self) -> EpisodeOutcome:
        """Ends the episode: what is complete enters the belief, what is not is refused."""
        self.absorb()
        self._closed = True
        self._observe(self._pairing.close_episode(self.index))
        return self._scores.outcome(self.step)

    def _observe(self, admitted: list[Admitted]) -> None:
        for item in admitted:
            try:
                self._adapter.observe(item.transition)
            except PitayaError as error:
                self._pairing.withdraw(item, Refusal.NON_FINITE, str(error))
            else:
                self.last_stamp_ns = item.stamp_ns
                self._on_belief(item)
