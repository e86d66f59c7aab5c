# SPDX-License-Identifier: Apache-2.0
"""The gate's rule for a robot that does not follow, held against a simulated hand that does and one that stops to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meta_rl_core.bundle import load_bundle
from meta_rl_core.runtime.adapter import Adapter
from meta_rl_core.runtime.following import COMMANDS, LEAST_RESPONSE, Following
from sim_bridge.dclaw.families import DClawTurnFamily

_POLICY = Path(__file__).resolve().parents[2] / "policies" / "dclaw-turn"
_WORLDS, _STEPS, _LOST_FROM, _STALL_RAD = 16, 60, 50, 0.1


@pytest.fixture(scope="module")
def watched() -> tuple[np.ndarray, np.ndarray]:
    """Response, and whether the hand seems not to follow, by step and world, shape (STEPS, WORLDS).

    Commands get lost on the way from step LOST_FROM on.
    """
    bundle, family = load_bundle(_POLICY), DClawTurnFamily("dclaw-turn", sparse=False)
    worlds, robot = family.make_worlds(_WORLDS, 1), bundle.robot
    seen = worlds.reset(family.heldout_tasks(_WORLDS, 3), np.arange(_WORLDS))
    adapters = [Adapter(bundle, seed) for seed in range(_WORLDS)]
    for adapter in adapters:
        adapter.begin_episode()
    following = [Following(_STALL_RAD) for _ in range(_WORLDS)]
    response, ignored = np.zeros((_STEPS, _WORLDS)), np.zeros((_STEPS, _WORLDS), dtype=np.bool_)
    last = arrived = np.zeros((_WORLDS, robot.action_dim))
    for step in range(_STEPS):
        last = np.stack([adapter.act(row) for adapter, row in zip(adapters, seen, strict=True)])
        commands = robot.command(last, worlds.physics.position)
        for world, watch in enumerate(following):
            watch.error_rad(worlds.physics.position[world, : robot.action_dim].copy())
            watch.sent(commands[world])
            response[step, world] = np.nan if watch.response is None else watch.response
            ignored[step, world] = watch.ignored
        arrived = commands if step < _LOST_FROM else arrived
        assert not worlds.physics.advance(arrived).any()
        seen = robot.observe(worlds.physics.position, worlds.physics.velocity, last)
    return response, ignored


def test_a_hand_that_works_always_makes_twice_the_least_response(
    watched: tuple[np.ndarray, np.ndarray],
) -> None:
    response, ignored = watched
    judged = response[COMMANDS : _LOST_FROM + 1]
    assert np.isfinite(judged).mean() > 0.9
    assert np.nanmin(judged) > 2.0 * LEAST_RESPONSE
    assert not ignored[: _LOST_FROM + 1].any()


def test_lost_commands_are_noticed_by_the_third_in_most_cases_and_by_the_fourth_in_all(
    watched: tuple[np.ndarray, np.ndarray],
) -> None:
    ignored = watched[1][_LOST_FROM + 1 :]
    steps = np.argmax(ignored, axis=0) + 1
    assert ignored.any(axis=0).all()
    assert (steps <= 3).mean() >= 0.9
    assert (steps <= 4).all()
