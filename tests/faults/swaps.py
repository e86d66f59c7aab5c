# SPDX-License-Identifier: Apache-2.0
"""Row 18: the signals of two joints are exchanged while the hand moves, as when a plug goes into the wrong socket."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.bundle import load_bundle
from meta_rl_core.runtime.adapter import Adapter
from meta_rl_core.runtime.following import Following
from sim_bridge.dclaw.families import DClawTurnFamily
from tests.faults.tally import Tally

Array = NDArray[np.float64]
_POLICY = Path(__file__).resolve().parents[2] / "policies" / "dclaw-turn"
_STALL_RAD = 0.1
_BEFORE, _FOUND_WITHIN = 10, 20
_TOGETHER = 16
ALLOWED_SHARE = 0.05


def exchanged_signals(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 18: each case is one episode of the shipped policy in which two of nine joints swap what they measure."""
    del folder
    tally, false_alarms, found = Tally(allowed_share=ALLOWED_SHARE), 0, []
    while tally.cases < cases:
        alarms = _episodes(min(_TOGETHER, cases - tally.cases), generator)
        for alarm in alarms:
            early = alarm is not None and alarm <= _BEFORE
            false_alarms += early
            took = None if alarm is None or early else alarm - _BEFORE
            found += [] if took is None else [took]
            tally.case(
                "" if took is not None else f"swap {tally.cases}: not found within {_FOUND_WITHIN} steps"
            )
    tally.measured = {
        "swaps found": len(found),
        "median steps until found": float(np.median(found)) if found else float("nan"),
        "alarms before the swap": false_alarms,
        "steps before swaps": cases * _BEFORE,
    }
    return tally


def _episodes(count: int, generator: np.random.Generator) -> list[int | None]:
    """At which step the gate's rule for robots that do not follow raised its alarm in each of so many episodes."""
    bundle, family = load_bundle(_POLICY), DClawTurnFamily("dclaw-turn", sparse=False)
    worlds, robot = family.make_worlds(count, 1), bundle.robot
    worlds.reset(family.sample_tasks(count, generator), generator.integers(2**31, size=count))
    adapters = [Adapter(bundle, int(generator.integers(2**31))) for _ in range(count)]
    for adapter in adapters:
        adapter.begin_episode()
    pairs = [generator.choice(robot.action_dim, 2, replace=False) for _ in range(count)]
    following = [Following(_STALL_RAD) for _ in range(count)]
    alarms: list[int | None] = [None] * count
    last = np.zeros((count, robot.action_dim))
    for step in range(_BEFORE + _FOUND_WITHIN):
        position, velocity = worlds.physics.position.copy(), worlds.physics.velocity.copy()
        if step >= _BEFORE:
            for world, pair in enumerate(pairs):
                for signal in (position, velocity):
                    signal[world, pair] = signal[world, pair[::-1]]
        seen = robot.observe(position, velocity, last)
        last = np.stack([adapter.act(row) for adapter, row in zip(adapters, seen, strict=True)])
        commands = robot.command(last, position)
        for world, watch in enumerate(following):
            watch.error_rad(position[world, : robot.action_dim])
            watch.sent(commands[world])
            if watch.ignored and alarms[world] is None:
                alarms[world] = step
        # The motors get what was commanded; the worlds' own decoding would start from what is really measured.
        if worlds.physics.advance(worlds.control(commands)).any():
            raise RuntimeError("the simulated physics became unstable")
    return alarms
