# SPDX-License-Identifier: Apache-2.0
"""How a run gathers transitions and how it is scored, in episodes."""

from __future__ import annotations

from dataclasses import dataclass

from meta_rl_core.errors import InvalidValueError


@dataclass(frozen=True)
class CollectionConfig:
    """How transitions are gathered; counts are episodes per visited task."""

    initial_prior_episodes: int = 10
    """Episodes per training task before the first update, z drawn from the prior."""
    initial_held_actions: bool = False
    """Hold one random action through each initial episode instead of asking the actor, to get far from the start."""
    tasks_per_iteration: int = 5
    """Tasks visited in each iteration, drawn with replacement."""
    prior_episodes: int = 2
    """Episodes with z drawn from the prior; they fill the RL replay and the context buffer."""
    posterior_episodes: int = 0
    """Episodes with z inferred (after one more prior episode); they fill both."""
    extra_posterior_episodes: int = 3
    """The same, but kept out of the context buffer."""
    by_steps: bool = False
    """Count steps, as the published code does: each number above stands for as many steps as so many whole episodes
    have, and where episodes end early more of them follow until those are lived. The last one is always finished."""

    def __post_init__(self) -> None:
        """Checks every number: without an episode on the prior there would be no context to infer from.

        Raises:
            InvalidValueError: Naming the field, what was got and what is allowed.
        """
        _check_at_least(
            self, "collection", 1, "initial_prior_episodes", "tasks_per_iteration", "prior_episodes"
        )
        _check_at_least(self, "collection", 0, "posterior_episodes", "extra_posterior_episodes")


@dataclass(frozen=True)
class EvaluationConfig:
    """The paper's evaluation protocol."""

    every_iterations: int = 1
    tasks: int = 30
    episodes: int = 3
    """Episodes per run; the score is the return of the last one."""
    exploration_episodes: int = 2
    """Leading episodes that act on z drawn from the prior."""
    seed: int = 7
    by_steps: bool = False
    """Count steps, as the published code does: where episodes end early more of them follow until as many are lived as
    so many whole episodes have. The last one is always finished."""
    runs: int = 1
    """Runs on each task, each from the prior."""
    training_tasks: int = 0
    """Score so many training tasks as well, by the same protocol."""
    replay_posterior: bool = False
    """Score those also with z inferred at once from their context in the replay: how well the policy does where the
    encoder has seen plenty. Needs relabel=false, where each task has a context of its own; controls that infer
    nothing leave it out."""

    def __post_init__(self) -> None:
        """Checks every number.

        Raises:
            InvalidValueError: Naming the field, what was got and what is allowed.
        """
        _check_at_least(self, "evaluation", 1, "every_iterations", "tasks", "episodes", "runs")
        _check_at_least(self, "evaluation", 0, "exploration_episodes", "seed", "training_tasks")
        if self.episodes <= self.exploration_episodes:
            raise InvalidValueError(
                f"evaluation.episodes ({self.episodes}) must exceed exploration_episodes "
                f"({self.exploration_episodes}), or nothing adapted is ever scored"
            )
        if self.replay_posterior and not self.training_tasks:
            raise InvalidValueError(
                "evaluation.replay_posterior scores training tasks; set evaluation.training_tasks to how many"
            )


def _check_at_least(plan: object, group: str, least: int, *names: str) -> None:
    for name in names:
        if getattr(plan, name) < least:
            raise InvalidValueError(f"{group}.{name} must be at least {least}, got {getattr(plan, name)}")
