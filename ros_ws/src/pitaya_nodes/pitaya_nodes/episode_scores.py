# SPDX-License-Identifier: Apache-2.0
"""What the reward node said of the steps of one episode, in memory that does not grow with its length."""

from __future__ import annotations

from dataclasses import dataclass

KEPT_STEPS = 128
"""A judgement that comes so many steps late counts no more; transitions wait for theirs for two."""


@dataclass(frozen=True)
class Score:
    """What the reward node said of one state."""

    reward: float
    context_reward: float
    error: float
    success: bool


@dataclass(frozen=True)
class EpisodeOutcome:
    """How an episode went.

    Attributes:
        episode_return: Sum of the dense rewards that came.
        final_error: Error at the last judged step; NaN if none was.
        success: Whether the last step counts as solved.
        judged: How many of the steps were judged.
        steps: How many steps were taken.
    """

    episode_return: float
    final_error: float
    success: bool
    judged: int
    steps: int


class EpisodeScores:
    """Judgements by stamp; each state is judged once, and sums are made in the order of steps, however they arrive."""

    def __init__(self, first_ns: int) -> None:
        """Begins an episode whose first state is stamped `first_ns` [ns]."""
        self._recorded_ns = first_ns - 1
        self._steps_by_stamp: dict[int, int] = {}
        self._scores: dict[int, Score] = {}
        self._early: dict[int, Score] = {}
        self._return, self._judged = 0.0, 0

    def recorded(self, stamp_ns: int, step: int) -> Score | None:
        """Notes the next step's state; gives its score if that has overtaken it, for `take`.

        Scores of states between two steps are nobody's.
        """
        self._steps_by_stamp[stamp_ns] = step
        self._recorded_ns = stamp_ns
        if len(self._steps_by_stamp) > KEPT_STEPS:
            self._settle(self._steps_by_stamp.pop(next(iter(self._steps_by_stamp))))
        early = self._early.pop(stamp_ns, None)
        self._early = {stamp: score for stamp, score in self._early.items() if stamp > stamp_ns}
        return early

    def take(self, stamp_ns: int, score: Score) -> bool:
        """Takes the judgement of the state stamped `stamp_ns`; whether it is the first one of a recorded state."""
        step = self._steps_by_stamp.get(stamp_ns)
        if step is None:
            if stamp_ns > self._recorded_ns:
                self._early.setdefault(stamp_ns, score)
                if len(self._early) > KEPT_STEPS:
                    del self._early[
                        max(self._early)
                    ]  # wild stamps must not keep out those of the next states
            return False
        if step in self._scores:
            return False
        self._scores[step] = score
        return True

    def outcome(self, steps: int) -> EpisodeOutcome:
        """How the episode went, which has ended after so many steps; called once."""
        last = self._scores.get(steps)
        for step in self._steps_by_stamp.values():
            self._settle(step)
        return EpisodeOutcome(
            episode_return=self._return,
            final_error=last.error if last else float("nan"),
            success=last.success if last else False,
            judged=self._judged,
            steps=steps,
        )

    def _settle(self, step: int) -> None:
        """The score of state k + 1 judges step k, so that the first state's judges none."""
        score = self._scores.pop(step, None)
        if score is not None and step > 0:
            self._return += score.reward
            self._judged += 1
