# SPDX-License-Identifier: Apache-2.0
"""Environment steps per second of one core, beside what MuJoCo alone allows for the same motion.

Our side is everything a trainer pays for: worlds stepped together with checks, observations, contact forces,
falls and signals. The other side is `mj_step` in a loop from the same starts under the same controls for as
many steps, with nothing read. Both run on one thread, take turns, and are timed in CPU seconds, so that other
programs on the machine touch the ratio little.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import mujoco
import numpy as np
from numpy.typing import NDArray

from benchmarks.report import write_report
from meta_rl_core.registry import load_family
from meta_rl_core.tasks import TaskFamily, Worlds, WorldsStep
from sim_bridge.batch_physics import FULL_PHYSICS, BatchPhysics, Rows

Array = NDArray[np.float64]
LEAST_RATIO = 0.85
FAMILIES = (
    "cheetah-vel",
    "cheetah-dir",
    "ant-dir",
    "ant-goal",
    "humanoid-dir",
    "walker-params",
    "hopper-params",
    "dclaw-turn",
)
"""Families that move by MuJoCo."""


class PhysicsWorlds(Protocol):
    """Worlds whose motion MuJoCo computes."""

    physics: BatchPhysics

    def reset(self, tasks: Array, seeds: NDArray[np.int64]) -> Array:
        """Starts an episode."""

    def step(self, actions: Array) -> WorldsStep:
        """Advances every world."""


@dataclass(frozen=True)
class Setting:
    """How much is measured: a pass is `steps` policy steps of `worlds` worlds."""

    worlds: int = 20
    steps: int = 25
    repetitions: int = 9
    families: tuple[str, ...] = FAMILIES


class Motion(NamedTuple):
    """What a pass of our worlds did, for MuJoCo to do again."""

    start: Array
    """Full physics state of each world, shape (N, state)."""
    controls: list[list[Array]]
    """The controls of each world, one per policy step that it lived."""

    @property
    def steps(self) -> int:
        """Policy steps of all worlds together."""
        return sum(len(controls) for controls in self.controls)


def record(worlds: PhysicsWorlds, tasks: Array, actions: Array) -> Motion:
    """Steps the worlds once and notes starts and controls."""
    worlds.reset(tasks, np.arange(len(tasks)))
    physics = worlds.physics
    motion = Motion(physics.state.copy(), [[] for _ in tasks])
    advance = physics.advance

    def note(control: Array, rows: Rows | None = None) -> NDArray[np.bool_]:
        for index, row in enumerate(range(len(tasks)) if rows is None else rows):
            motion.controls[row].append(control[index].copy())
        return advance(control, rows)

    physics.advance = note  # type: ignore[method-assign]
    try:
        for action in actions:
            worlds.step(action)
    finally:
        physics.advance = advance  # type: ignore[method-assign]
    return motion


def time_ours(worlds: PhysicsWorlds, tasks: Array, actions: Array, clock: Callable[[], float]) -> float:
    """CPU seconds of one pass of our worlds."""
    worlds.reset(tasks, np.arange(len(tasks)))
    started = clock()
    for action in actions:
        worlds.step(action)
    return clock() - started


def time_bare(physics: BatchPhysics, motion: Motion, clock: Callable[[], float]) -> float:
    """CPU seconds that MuJoCo's own step takes for the same motion, world after world."""
    data = mujoco.MjData(physics.models[0])
    seconds = 0.0
    for model, start, controls in zip(physics.models, motion.start, motion.controls, strict=True):
        mujoco.mj_resetData(model, data)
        mujoco.mj_setState(model, data, start, FULL_PHYSICS)
        started = clock()
        for control in controls:
            data.ctrl[:] = control
            mujoco.mj_step(model, data, physics.substeps)
        seconds += clock() - started
    return seconds


def measure_family(
    family: TaskFamily, setting: Setting, clock: Callable[[], float] = time.process_time
) -> dict[str, Any]:
    """Steps per second of both sides, medians over the repetitions; the ratio is the median of the pairs'."""
    generator = np.random.default_rng(0)
    tasks = family.sample_tasks(setting.worlds, generator)
    actions = generator.uniform(-1.0, 1.0, (setting.steps, setting.worlds, family.spec.action_dim))
    make_worlds = cast(Callable[[int, int], Worlds], family.make_worlds)
    worlds = cast(PhysicsWorlds, make_worlds(setting.worlds, 1))
    motion = record(worlds, tasks, actions)
    ours, bare = [], []
    for repetition in range(setting.repetitions):
        for side in (0, 1) if repetition % 2 else (1, 0):
            if side:
                ours.append(time_ours(worlds, tasks, actions, clock))
            else:
                bare.append(time_bare(worlds.physics, motion, clock))
    ratio = statistics.median(theirs / own for theirs, own in zip(bare, ours, strict=True))
    return {
        "family": family.spec.name,
        "physics_steps_per_step": worlds.physics.substeps,
        "bare_steps_per_s": motion.steps / statistics.median(bare),
        "ours_steps_per_s": motion.steps / statistics.median(ours),
        "ratio": ratio,
        "reached": ratio >= LEAST_RATIO,
    }


def measure(setting: Setting) -> dict[str, Any]:
    """Measures every family of the setting."""
    rows = [measure_family(load_family(name), setting) for name in setting.families]
    return {
        "benchmark": "env_steps",
        "worlds": setting.worlds,
        "steps": setting.steps,
        "repetitions": setting.repetitions,
        "least_ratio": LEAST_RATIO,
        "reached": all(row["reached"] for row in rows),
        "families": rows,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints a table and writes the JSON; exit status 0 exactly if every family reaches the ratio."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.env_steps", description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--family", action="append", choices=FAMILIES, help="only this one; may repeat")
    parser.add_argument("--worlds", type=int, default=Setting.worlds, help="worlds stepped together")
    parser.add_argument("--repetitions", type=int, default=Setting.repetitions, help="passes of each side")
    options = parser.parse_args(arguments)
    if options.worlds < 1 or options.repetitions < 1:
        parser.error("--worlds and --repetitions must be 1 or more")
    families = tuple(options.family or FAMILIES)
    results = measure(Setting(worlds=options.worlds, repetitions=options.repetitions, families=families))
    print(f"{'family':>14} {'mj_step alone':>16} {'ours':>12} {'ratio':>7}   steps per second and core")
    for row in results["families"]:
        print(
            f"{row['family']:>14} {row['bare_steps_per_s']:>16,.0f} {row['ours_steps_per_s']:>12,.0f} "
            f"{100 * row['ratio']:>5.0f} %"
        )
    if options.json is not None:
        write_report(options.json, results)
    return 0 if results["reached"] else 1


if __name__ == "__main__":
    sys.exit(main())
