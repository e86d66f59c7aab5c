# SPDX-License-Identifier: Apache-2.0
"""Row 18: the valve is swapped for another one, with another target, while the hand moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.bundle import Bundle, load_bundle
from meta_rl_core.families.dclaw_turn import wrap_angle
from meta_rl_core.pearl.lives import live_many
from meta_rl_core.runtime.adapter import Adapter
from meta_rl_core.runtime.change_watch import ChangeWatch
from meta_rl_core.runtime.context import Transition
from sim_bridge.dclaw.dynamics import DClawDynamicsWorlds
from sim_bridge.dclaw.families import DClawDynamicsFamily, DClawTurnFamily
from sim_bridge.dclaw.worlds import DClawWorlds, make_robot
from tests.faults.tally import Tally

Array = NDArray[np.float64]
_POLICY = Path(__file__).resolve().parents[2] / "policies" / "dclaw-turn"
_FOUND_WITHIN = 20
_ADAPTING = 3
"""Episodes before the one in which the valve is swapped: two that explore, one that acts on the belief."""
_READAPTING = 3
_TOGETHER = 50
_TOLERANCE_RAD = 0.1
"""A target no further away than this is solved by what solves the former one."""
_OTHER_BODIES = "false alarms per hour with servos, valve and delay drawn as in dclaw-turn-dynamics"
ALLOWED_SHARE, ALARMS_PER_HOUR, LEAST_RETURN = 0.05, 1.0, 0.9


def swapped_valves(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 18 b: in each case the target becomes another one at any step of the fourth episode."""
    del folder
    tally, family = Tally(allowed_share=ALLOWED_SHARE), DClawTurnFamily("dclaw-turn", sparse=False)
    bundle, seed = load_bundle(_POLICY), int(generator.integers(2**31))
    former, present = family.heldout_tasks(2 * cases, seed).reshape(2, cases, 1)
    far = np.abs(wrap_angle(present - former))[:, 0] > _TOLERANCE_RAD
    took, early, returns, fresh = [], 0, [], []
    for first in range(0, cases, _TOGETHER):
        part = slice(first, first + _TOGETHER)
        hands = Hands(bundle, family, former[part], generator)
        hands.run(_ADAPTING)
        since = hands.swap(present[part])
        hands.run(2 + _READAPTING)
        took += [hands.steps_to_alarm(hand, since[hand]) for hand in range(hands.count)]
        early += sum(alarm < since[hand] for hand in range(hands.count) for alarm in hands.alarms[hand])
        returns += [hands.return_readapted(hand, since[hand]) for hand in range(hands.count)]
        others = Hands(bundle, family, present[part], generator, watched=False)
        others.run(_READAPTING)
        fresh += [others.returns[hand][-1] for hand in range(others.count)]
    found = np.array([steps is not None and steps <= _FOUND_WITHIN for steps in took])
    for case, hit in enumerate(found):
        apart = abs(wrap_angle(present - former)[case, 0])
        tally.case("" if hit else f"targets {apart:.2f} rad apart: not found within {_FOUND_WITHIN} steps")
    share = float(np.mean(returns) / np.mean(fresh))
    tally.demand(share >= LEAST_RETURN, f"return of the third episode {share:.0%} of fresh adaptation's")
    tally.measured = {
        "swaps found": int(found.sum()),
        f"of {far.sum()} to a target more than {_TOLERANCE_RAD} rad away": int(found[far].sum()),
        "steps until found, median": float(
            np.median([steps for steps in took if steps is not None] or [np.nan])
        ),
        "alarms before the swap": int(early),
        "return of the third episode after the alarm": float(np.mean(returns)),
        "of fresh adaptation": float(np.mean(fresh)),
        "share": share,
    }
    return tally


def valves_that_stay(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 18 d: each case is one episode, six to a valve; an alarm in it is a false one."""
    del folder
    family, bundle = DClawTurnFamily("dclaw-turn", sparse=False), load_bundle(_POLICY)
    episodes = 2 * _ADAPTING
    seed, count = int(generator.integers(2**31)), max(cases // episodes, 1)
    hours = count * episodes * bundle.manifest.horizon * 0.1 / 3600.0
    tally = Tally(allowed_share=ALARMS_PER_HOUR * hours / (count * episodes))
    for lives in live_many(bundle, family, family.heldout_tasks(count, seed), episodes, seed):
        for hand in range(len(lives.tasks)):
            watch, alarms = ChangeWatch(bundle, lives.belief(hand, 0)), 0
            for step in range(lives.reward.shape[1]):
                belief = lives.belief(hand, step + 1)
                if watch.observed(lives.transition(hand, step), belief):
                    alarms += 1
                    tally.case(
                        f"target {lives.tasks[hand, 0]:.2f} rad, step {step}: {watch.strength:.1f} nat"
                    )
                    watch.begin(belief)
            tally.case(count=max(episodes - alarms, 0))
    tally.measured = {
        "simulated hours": hours,
        "false alarms per hour": tally.failures / hours,
        _OTHER_BODIES: _alarms_per_hour_of_other_bodies(bundle, count // 3, generator),
    }
    return tally


def _alarms_per_hour_of_other_bodies(bundle: Bundle, count: int, generator: np.random.Generator) -> float:
    """False alarms on hands whose servos, valves and delays are drawn as in dclaw-turn-dynamics."""
    count = min(max(count, 1), _TOGETHER)
    bodies = DClawDynamicsFamily().heldout_tasks(count, int(generator.integers(2**31)))
    family = DClawTurnFamily("dclaw-turn", sparse=False)
    hands = Hands(bundle, family, bodies[:, :1], generator, worlds=OtherBodies(bodies))
    hands.run(2 * _ADAPTING)
    hours = count * 2 * _ADAPTING * bundle.manifest.horizon * 0.1 / 3600.0
    return sum(map(len, hands.alarms)) / hours


class OtherBodies(DClawDynamicsWorlds):
    """Hands with bodies of their own, whose observation does not tell the target."""

    def __init__(self, bodies: Array) -> None:
        """Takes rows of the family dclaw-turn-dynamics."""
        super().__init__(len(bodies), 1)
        self._bodies, self._robot = bodies, make_robot()

    def take_tasks(self, tasks: Array) -> None:
        """Builds the bodies; the targets in `tasks` count for the reward alone."""
        del tasks
        super().take_tasks(self._bodies)

    def _observe(self) -> Array:
        return self._robot.observe(self.physics.position, self.physics.velocity, self._last_action)


class Hands:
    """Simulated D'Claws under the shipped policy, each watched as its policy node watches it.

    Attributes:
        count: How many.
        alarms: Steps of the run at which the task of each seemed to change.
        returns: What each gathered in each episode.
    """

    def __init__(
        self,
        bundle: Bundle,
        family: DClawTurnFamily,
        tasks: Array,
        generator: np.random.Generator,
        *,
        watched: bool = True,
        worlds: DClawWorlds | None = None,
    ) -> None:
        """Begins with the prior, on targets [rad] of shape (N, 1)."""
        self.count, self._family, self._generator = len(tasks), family, generator
        self._tasks, self._next, self._since = tasks, tasks, np.full(self.count, np.iinfo(np.int64).max)
        self._worlds = worlds or family.make_worlds(self.count, 1)
        self._horizon, self._step = bundle.manifest.horizon, 0
        self._adapters = [Adapter(bundle, int(generator.integers(2**31))) for _ in tasks]
        self._watches = [ChangeWatch(bundle, one.belief) for one in self._adapters] if watched else []
        self.alarms: list[list[int]] = [[] for _ in tasks]
        self.returns: list[list[float]] = [[] for _ in tasks]

    def swap(self, tasks: Array) -> NDArray[np.int64]:
        """Lets other targets count from a random step of the next episode on; gives that step of the run, (N,)."""
        self._next = tasks
        self._since = self._step + self._generator.integers(1, self._horizon, size=self.count)
        return self._since

    def run(self, episodes: int) -> None:
        """Runs episodes, adapting from one to the next."""
        for _ in range(episodes):
            self._episode()

    def steps_to_alarm(self, hand: int, since: int) -> int | None:
        """How many transitions of the new valve it took; None if there was no alarm."""
        return next((alarm - since + 1 for alarm in self.alarms[hand] if alarm >= since), None)

    def return_readapted(self, hand: int, since: int) -> float:
        """Return of the third episode after the one with the alarm, or with the swap where there was none."""
        steps = self.steps_to_alarm(hand, since)
        at = since if steps is None or steps > self._horizon else since + steps - 1
        return self.returns[hand][at // self._horizon + _READAPTING]

    def _episode(self) -> None:
        seen = self._worlds.reset(self._tasks, self._generator.integers(2**31, size=self.count))
        gathered: Array = np.zeros(self.count)
        for adapter in self._adapters:
            adapter.begin_episode()
        for _ in range(self._horizon):
            actions = np.stack([one.act(row) for one, row in zip(self._adapters, seen, strict=True)])
            step = self._worlds.step(actions)
            tasks = np.where((self._step >= self._since)[:, np.newaxis], self._next, self._tasks)
            rewards = self._family.reward_model.judge(step.signals, actions, tasks).reward
            for hand, parts in enumerate(zip(seen, actions, rewards, step.observation, strict=True)):
                self._take(hand, Transition(parts[0], parts[1], float(parts[2]), parts[3]))
            gathered += rewards
            seen = step.observation
            self._step += 1
        for hand, total in enumerate(gathered):
            self.returns[hand].append(float(total))

    def _take(self, hand: int, transition: Transition) -> None:
        adapter = self._adapters[hand]
        adapter.observe(transition)
        if self._watches and self._watches[hand].observed(transition, adapter.belief):
            self.alarms[hand].append(self._step)
            adapter.forget_task()
            self._watches[hand].begin(adapter.belief)
