# SPDX-License-Identifier: Apache-2.0
"""Checks the Adapt goals that clients send."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from meta_rl_core.bundle import Bundle
from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.adapter import SAMPLINGS, Adapter, Sampling
from meta_rl_core.runtime.admission import AdmissionRules, Refused
from meta_rl_core.runtime.context import Transition
from meta_rl_core.runtime.pairing import TransitionPairing
from meta_rl_core.runtime.robot_interface import LONGEST_HORIZON, RobotInterface

MOST_EPISODES = 10_000
LONGEST_BUDGET_S = 86_400.0
WAIT_PERIODS = 2.0
"""How long after the end of a step its reward and executed command are waited for [periods]."""
PROOF_PERIODS = 8
"""How long after its end a step is in doubt [periods]: the gate finds a robot that does not follow in 3, rarely in as
many as 7 (benchmarks/following.py), and joints that are exchanged most often within 6."""


@dataclass(frozen=True)
class AdaptGoal:
    """A checked goal; see Adapt.action for the meaning of the fields."""

    episodes: int
    steps: int
    time_budget_s: float | None
    seed: int
    reset_belief: bool
    exploration_episodes: int
    sampling: Sampling


def read_goal(request: Any, horizon: int) -> AdaptGoal:
    """The goal a client asks for.

    Args:
        request: An Adapt goal message.
        horizon: Steps per episode where the goal says 0.

    Raises:
        InvalidValueError: If a number is out of range or the sampling unknown; names all that is wrong.
    """
    wrong = []
    if not 1 <= request.episodes <= MOST_EPISODES:
        wrong.append(f"episodes must lie in [1, {MOST_EPISODES}], got {request.episodes}")
    if request.steps_per_episode > LONGEST_HORIZON:
        wrong.append(f"steps_per_episode must be at most {LONGEST_HORIZON}, got {request.steps_per_episode}")
    budget_s = request.time_budget_s
    if not (math.isfinite(budget_s) and 0.0 <= budget_s <= LONGEST_BUDGET_S):
        wrong.append(f"time_budget_s must lie in [0, {LONGEST_BUDGET_S:g}] (0: no limit), got {budget_s}")
    sampling = request.sampling or "sample"
    if sampling not in SAMPLINGS:
        wrong.append(f"sampling must be one of {', '.join(SAMPLINGS)}, got {sampling!r}")
    if wrong:
        raise InvalidValueError("; ".join(wrong))
    return AdaptGoal(
        episodes=request.episodes,
        steps=request.steps_per_episode or horizon,
        time_budget_s=budget_s or None,
        seed=request.seed,
        reset_belief=request.reset_belief,
        exploration_episodes=request.exploration_episodes,
        sampling=cast(Sampling, sampling),
    )


def adapter_for(goal: AdaptGoal, bundle: Bundle, former: Adapter) -> Adapter:
    """The adapter that runs a goal: draws from the goal's seed, evidence kept unless it asks for a reset."""
    fresh = Adapter(
        bundle,
        goal.seed,
        goal.sampling,
        goal.exploration_episodes,
        least_authority=former.least_authority,
    )
    if not goal.reset_belief:
        kept, begun = former.save(), fresh.save()
        fresh.restore({**kept, "generator": begun["generator"], "episodes_begun": 0, "z": None})
    return fresh


def pairing_for(
    robot: RobotInterface, lock_step: bool, on_refused: Callable[[Refused], None]
) -> TransitionPairing:
    """Decides which steps of a goal count; in lock-step the belief must not depend on how fast the processes are."""
    rules = AdmissionRules(robot.period_s)
    if lock_step:
        return TransitionPairing(rules, on_refused=on_refused)
    return TransitionPairing(rules, WAIT_PERIODS * robot.period_s, on_refused=on_refused)


def warm_up(adapter: Adapter, robot: RobotInterface) -> None:
    """First calls are slow and may fail; both belong here and not on the control path."""
    observation, action = np.zeros(robot.observation_dim), np.zeros(robot.action_dim)
    adapter.begin_episode()
    adapter.act(observation)
    adapter.observe(Transition(observation, action, 0.0, observation))
    adapter.reset_belief(seed=0)
