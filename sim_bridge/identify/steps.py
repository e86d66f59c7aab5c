# SPDX-License-Identifier: Apache-2.0
"""Simulated policy periods of a D'Claw of any body: lived at random, or predicted from where they began."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families.dclaw_turn import RESET_POSE_RAD, make_robot
from sim_bridge.batch_physics import BatchPhysics
from sim_bridge.dclaw.model import policy_substeps, start_state
from sim_bridge.identify.body import Body, BodyModel
from sim_bridge.identify.record import Steps

Array = NDArray[np.float64]
_HELD_STEPS = 4


def excite(body: Body, episodes: int, horizon: int, generator: np.random.Generator) -> Steps:
    """Lets a simulated hand move at random, holding each command for 0.4 s, and records what it does.

    Args:
        body: What the hand is like.
        episodes: Episodes, each from the start pose, moved at the same time.
        horizon: Periods of 0.1 s per episode.
        generator: Draws starts and commands.
    """
    made, robot = BodyModel(), make_robot()
    model = made.build(body)
    physics = BatchPhysics(model, episodes, policy_substeps(model), threads=1)
    for row in range(episodes):
        physics.state[row] = start_state(int(generator.integers(2**31)))
    former: Array = np.tile(RESET_POSE_RAD, (episodes, 1))
    records: list[tuple[Array, Array, Array, Array]] = []
    action: Array = np.zeros((episodes, 9))
    for step in range(horizon):
        if step % _HELD_STEPS == 0:
            action = np.clip(generator.normal(0.0, 0.8, (episodes, 9)), -1.0, 1.0)
        before = physics.state[:, 1:].copy()
        command = robot.command(action, physics.position)
        physics.advance(made.control(body, former, command))
        records.append((before, former, command, physics.state[:, 1:].copy()))
        former = command
    return Steps(*(np.concatenate(part) for part in zip(*records, strict=True)))


def measured_like(steps: Steps) -> Steps:
    """The same as an XM430 reports it: positions in ticks of 2 pi / 4096, velocities in units of 0.229 rpm."""
    tick, unit = 2.0 * np.pi / 4096.0, 0.229 * 2.0 * np.pi / 60.0

    def read(state: Array) -> Array:
        return np.concatenate(
            [np.round(state[:, :10] / tick) * tick, np.round(state[:, 10:] / unit) * unit], axis=1
        )

    return Steps(read(steps.before), steps.former, steps.command, read(steps.after))


def predict(made: BodyModel, body: Body, steps: Steps) -> Array:
    """Where a hand of this body would be at the end of each period, shape (N, 20)."""
    model = made.build(body)
    physics = BatchPhysics(model, len(steps), policy_substeps(model), threads=1)
    physics.state[:] = np.concatenate([np.zeros((len(steps), 1)), steps.before], axis=1)
    physics.advance(made.control(body, steps.former, steps.command))
    return physics.state[:, 1:].copy()
