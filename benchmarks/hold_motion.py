# SPDX-License-Identifier: Apache-2.0
"""How far the simulated hand swings when its policy falls silent and it is held, by how soon it is held; no ROS.

`python -m benchmarks.hold_motion [--policy policies/dclaw-turn] [--held-s 0.185] [--cases 1000] [--json F]`: each
case is one hand that acts on the policy for some steps, then gets no further command, and is held where it is measured
so long after the last one. Counted as in row 8 a of the fault report: how far a joint went beyond the way from where it
was when the next command was due to where the last one sent it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import write_report
from meta_rl_core.bundle import Bundle, load_bundle
from meta_rl_core.registry import load_family, load_registered
from meta_rl_core.runtime.adapter import Adapter

LOOK_S, WATCHED_S = 0.01, 1.0
STEPS = (3, 14)
LARGEST_RAD = 0.1


def swings_rad(bundle: Bundle, held_s: float, cases: int, seed: int) -> NDArray[np.float64]:
    """Largest extra motion of any joint in each case [rad], shape (cases,)."""
    generator = np.random.default_rng(seed)
    family = load_family(bundle.manifest.family)
    plant = load_registered("plants", "dclaw").of_family(bundle.manifest.family)
    names, found = list(plant.joint_names), []
    observed = [names.index(joint) for joint in bundle.robot.joint_names]
    commanded = [names.index(joint) for joint in bundle.robot.action.joints]
    for task in family.sample_tasks(cases, generator):
        plant.set_task(task)
        plant.reset(int(generator.integers(2**31)), 0)
        target = _act(plant, bundle, observed, generator)
        way, since_s, held = [plant.read().position[commanded]], bundle.robot.period_s, False
        while since_s < WATCHED_S:
            if not held and since_s >= held_s - 1e-9:
                plant.write(way[-1])
                held = True
            plant.step(LOOK_S)
            since_s += LOOK_S
            way.append(plant.read().position[commanded])
        low, high = np.minimum(way[0], target), np.maximum(way[0], target)
        beyond = np.maximum(low - np.stack(way), np.stack(way) - high)
        found.append(max(float(beyond.max()), 0.0))
    return np.array(found)


def _act(plant: Any, bundle: Bundle, observed: list[int], generator: np.random.Generator) -> Any:
    """Lets the policy act for some steps; gives its last command [rad]."""
    robot, adapter = bundle.robot, Adapter(bundle, int(generator.integers(2**31)))
    adapter.begin_episode()
    action: NDArray[np.float64] = np.zeros(robot.action_dim)
    for _ in range(int(generator.integers(*STEPS))):
        state = plant.read()
        position, velocity = state.position[observed], state.velocity[observed]
        action = adapter.act(robot.observe(position, velocity, action, None))
        target = robot.command(action, position)
        plant.write(target)
        plant.step(robot.period_s)
    return target


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--policy", type=Path, default=Path("policies/dclaw-turn"))
    parser.add_argument("--held-s", type=float, nargs="+", default=[0.11, 0.15, 0.175, 0.195, 0.21, 0.25])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--json", type=Path, default=None, help="write the result here instead of printing it"
    )
    options = parser.parse_args()
    bundle, rows = load_bundle(options.policy), []
    for held_s in options.held_s:
        swings = swings_rad(bundle, held_s, options.cases, options.seed)
        rows.append(
            {
                "held_s": held_s,
                f"share_above_{LARGEST_RAD}_rad": float((swings > LARGEST_RAD).mean()),
                "largest_rad": float(swings.max()),
                "p99_rad": float(np.quantile(swings, 0.99)),
            }
        )
    write_report(options.json, {"policy": bundle.manifest.name, "cases": options.cases, "rows": rows})


if __name__ == "__main__":
    main()
