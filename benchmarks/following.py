# SPDX-License-Identifier: Apache-2.0
"""How often the gate takes a simulated hand that works for one that does not follow, and how soon one that does not.

`python -m benchmarks.following [--policy policies/dclaw-turn] [--repeats 64] [--json F]` lets 64 hands act on the
policy for 4 s, again and again. In every fourth repeat commands get lost from some step on; an alarm before is false.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import write_report
from meta_rl_core.bundle import load_bundle
from meta_rl_core.registry import load_family
from meta_rl_core.runtime.adapter import Adapter
from meta_rl_core.runtime.following import Following
from sim_bridge.dclaw.worlds import DClawWorlds

HANDS, STEPS, PERIOD_S, STALL_RAD = 64, 40, 0.1, 0.1
FIRST_LOSS, LOST_STEPS, LOSS_EVERY = 12, 12, 4


class Cable:
    """What stands between the limits of a hand and its motors, and may be pulled.

    Attributes:
        sent: The last commands [rad], shape (HANDS, A).
        pulled: Whether commands get lost: motors keep to the last ones that reached them.
    """

    def __init__(self, worlds: DClawWorlds) -> None:
        """Takes the place of the worlds' own."""
        self.sent: NDArray[np.float64] = np.zeros((worlds.count, 0))
        self._arrived = self.sent
        self.pulled = False
        self._control = worlds.control
        vars(worlds)["control"] = self

    def __call__(self, command: NDArray[np.float64]) -> NDArray[np.float64]:
        """What reaches the motors."""
        self.sent = command
        if not self.pulled:
            self._arrived = command
        return self._control(self._arrived)


def alarms(policy: Path, repeat: int, lost_from: int) -> NDArray[np.int64]:
    """Step at which each hand was first taken for one that does not follow, STEPS if never; shape (HANDS,)."""
    bundle = load_bundle(policy)
    family = load_family(bundle.manifest.family)
    worlds, joints = family.make_worlds(HANDS), bundle.robot.action_dim
    assert isinstance(worlds, DClawWorlds)
    cable = Cable(worlds)
    seen = worlds.reset(family.heldout_tasks(HANDS, 20 + repeat), np.arange(HANDS) + 1000 * repeat)
    adapters = [Adapter(bundle, seed) for seed in range(HANDS)]
    watches = [Following(STALL_RAD) for _ in range(HANDS)]
    first = np.full(HANDS, STEPS)
    for adapter in adapters:
        adapter.begin_episode()
    for step in range(STEPS):
        measured = worlds.physics.position[:, :joints].copy()
        cable.pulled = step >= lost_from
        actions = np.stack([adapter.act(row) for adapter, row in zip(adapters, seen, strict=True)])
        seen = worlds.step(actions).observation
        for hand, watch in enumerate(watches):
            watch.error_rad(measured[hand])
            if watch.ignored and first[hand] == STEPS:
                first[hand] = step
            watch.sent(cable.sent[hand])
    return first


def measure(policy: Path, repeats: int) -> dict[str, Any]:
    """The fields of the report."""
    false, steps, noticed = 0, 0, Counter[str]()
    for repeat in range(repeats):
        lost_from = STEPS if repeat % LOSS_EVERY else FIRST_LOSS + repeat % (STEPS - FIRST_LOSS - LOST_STEPS)
        first = alarms(policy, repeat, lost_from)
        # The state of the step in which the first command is lost is still that of a hand that works.
        early = first <= lost_from if lost_from < STEPS else first < STEPS
        false += int(early.sum())
        steps += HANDS * lost_from
        if lost_from < STEPS:
            noticed.update("never" if step == STEPS else str(step - lost_from) for step in first[~early])
    hours = steps * PERIOD_S / 3600.0
    lost = sum(noticed.values())
    return {
        "policy": policy.name,
        "simulated_hours": round(hours, 2),
        "false_alarms": false,
        "false_alarms_per_hour": round(false / hours, 1),
        "losses": lost,
        "noticed_after_commands": dict(sorted(noticed.items(), key=lambda item: (len(item[0]), item[0]))),
        "noticed_within_4_commands": round(sum(noticed[str(n)] for n in range(1, 5)) / max(lost, 1), 3),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.following", description=__doc__)
    parser.add_argument("--policy", type=Path, default=Path("policies/dclaw-turn"))
    parser.add_argument("--repeats", type=int, default=64)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    write_report(options.json, measure(options.policy, options.repeats))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
