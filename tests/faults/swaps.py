# SPDX-License-Identifier: Apache-2.0
"""Row 18: the signals of two joints are exchanged while the hand moves, as when a plug goes into the wrong socket."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.bundle import load_bundle
from meta_rl_core.runtime.adapter import Adapter
from meta_rl_core.runtime.context import Transition
from meta_rl_core.runtime.swap_watch import ALARM, NANOSECONDS, SwapWatch
from meta_rl_core.runtime.terms import assemble
from meta_rl_core.tasks import TaskFamily
from sim_bridge.dclaw.families import DClawDynamicsFamily, DClawTurnFamily
from sim_bridge.dclaw.model import JOINTS
from tests.faults.tally import Tally

Array = NDArray[np.float64]
_POLICY = Path(__file__).resolve().parents[2] / "policies" / "dclaw-turn"
_FOUND_WITHIN = 20
_EPISODES = 3
"""As many as the shipped policy takes to adapt: two that explore, one that acts on the belief."""
_TOGETHER = 50
_BETWEEN_EPISODES_S = 0.5
_ROBOT_ALARM = 8.0
"""What config/bringup/dclaw_robot.yaml sets."""
_OTHER_BODIES = "false alarms per hour with servos, valve and delay drawn as in dclaw-turn-dynamics"
ALLOWED_SHARE, ALARMS_PER_HOUR = 0.05, 1.0


class Alarm(NamedTuple):
    """Two joints were taken for exchanged."""

    world: int
    step: int
    complaint: str


def exchanged_signals(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 18 a: in each case two of nine joints swap what they measure at any step of a run of three episodes."""
    del folder
    tally, early, named, took = Tally(allowed_share=ALLOWED_SHARE), 0, 0, []
    while tally.cases < cases:
        hands = Hands(min(_TOGETHER, cases - tally.cases), generator)
        last = _EPISODES * hands.robot.horizon - _FOUND_WITHIN
        since = generator.integers(1, last + 1, size=hands.count)
        pairs = [tuple(generator.choice(hands.robot.action_dim, 2, replace=False)) for _ in since]
        alarms = hands.run(_EPISODES, since, pairs)
        for world, (begun, pair) in enumerate(zip(since, pairs, strict=True)):
            early += any(alarm.world == world and alarm.step < begun for alarm in alarms)
            names = [hands.robot.action.joints[joint] for joint in pair]
            steps, said = _first_alarm(alarms, world, int(begun))
            found = steps is not None and steps <= _FOUND_WITHIN
            tally.case("" if found else f"{' and '.join(names)}: not found within {_FOUND_WITHIN} steps")
            if found:
                took.append(steps)
                # A sentence begins with the two names.
                named += set(names) == set(said.split()[:3:2])
    tally.measured = {
        "exchanges found": len(took),
        "of which both joints were named rightly": named,
        "found with the first state that shows them": sum(steps == 1 for steps in took),
        "steps until found, median": float(np.median(took)) if took else float("nan"),
        "found within 6 steps, of which none is learnt from": sum(steps <= 6 for steps in took),
        "alarms before the exchange": early,
    }
    return tally


def healthy_hands(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 18 c: each case is one episode of a hand with nothing exchanged; an alarm in it is a false one."""
    del folder
    alarms, strongest, hours = _healthy(cases, generator, DClawTurnFamily("dclaw-turn", sparse=False))
    tally = Tally(allowed_share=ALARMS_PER_HOUR * hours / cases)
    tally.case(count=cases - len(alarms))
    for alarm in alarms:
        tally.case(f"hand {alarm.world}, step {alarm.step}: {alarm.complaint}")
    others = {}
    for alarm in (ALARM, _ROBOT_ALARM):
        found, _, other_hours = _healthy(max(cases // 8, 1), generator, DClawDynamicsFamily(), alarm)
        others[f"{_OTHER_BODIES}, swap_alarm {alarm:g}"] = len(found) / other_hours
    tally.measured = {
        "simulated hours": hours,
        "false alarms per hour": len(alarms) / hours,
        "most evidence": strongest,
        **others,
    }
    return tally


def _healthy(
    episodes: int, generator: np.random.Generator, family: TaskFamily, alarm: float = ALARM
) -> tuple[list[Alarm], float, float]:
    """The alarms, the most evidence there was, and the simulated hours of so many episodes."""
    alarms: list[Alarm] = []
    strongest, hours, done = 0.0, 0.0, 0
    while done < episodes:
        left = episodes - done
        hands = Hands(min(_TOGETHER, max(left // _EPISODES, 1)), generator, family, alarm)
        of_each = min(_EPISODES, left)
        alarms += hands.run(of_each)
        strongest = max(strongest, hands.strongest)
        done += of_each * hands.count
        hours += of_each * hands.count * hands.robot.horizon * hands.robot.period_s / 3600.0
    return alarms, strongest, hours


def _first_alarm(alarms: Sequence[Alarm], world: int, since: int) -> tuple[int | None, str]:
    """How many states showed the exchange before the first alarm, and what that said; None if there was none."""
    for alarm in alarms:
        if alarm.world == world and alarm.step >= since:
            return alarm.step - since + 1, alarm.complaint
    return None, ""


class Hands:
    """Simulated D'Claws under the shipped policy, each watched as its gate watches it.

    Attributes:
        count: How many.
        robot: What the policy observes and commands.
        strongest: The most evidence of an exchange there was.
    """

    def __init__(
        self,
        count: int,
        generator: np.random.Generator,
        family: TaskFamily | None = None,
        alarm: float = ALARM,
    ) -> None:
        """Draws tasks, and bodies where `family` has any; `alarm` is that of the watch."""
        bundle = load_bundle(_POLICY)
        self.count, self.robot, self.strongest = count, bundle.robot, 0.0
        self._generator, self._turn = generator, DClawTurnFamily("dclaw-turn", sparse=False)
        family = family or self._turn
        self._tasks = family.sample_tasks(count, generator)
        self._worlds = family.make_worlds(count, 1)
        self._adapters = [Adapter(bundle, int(generator.integers(2**31))) for _ in range(count)]
        action, period_s = self.robot.action, self.robot.period_s
        self._watches = [SwapWatch(action.joints, action.max_step, period_s, alarm) for _ in range(count)]
        self._since: Array = np.full(count, np.inf)
        self._pairs: Sequence[Sequence[int]] = [(0, 1)] * count

    def run(
        self,
        episodes: int,
        since: NDArray[np.int64] | None = None,
        pairs: Sequence[Sequence[int]] = (),
    ) -> list[Alarm]:
        """Runs episodes; gives all alarms, after each of which its watch begins anew.

        Args:
            episodes: How many, adapting from one to the next.
            since: Step of the run from which on two joints of each hand are exchanged, shape (count,).
            pairs: Which two.
        """
        if since is not None:
            self._since, self._pairs = np.asarray(since, dtype=np.float64), pairs
        return [alarm for episode in range(episodes) for alarm in self._episode(episode)]

    def _episode(self, episode: int) -> list[Alarm]:
        self._worlds.reset(self._tasks, self._generator.integers(2**31, size=self.count))
        for adapter in self._adapters:
            adapter.begin_episode()
        alarms, last = [], np.zeros((self.count, self.robot.action_dim))
        first_s = episode * (self.robot.horizon * self.robot.period_s + _BETWEEN_EPISODES_S)
        first = episode * self.robot.horizon
        position, velocity = self._measured(first)
        seen = self.robot.observe(position, velocity, last)
        for step in range(first, first + self.robot.horizon):
            last = np.stack([one.act(row) for one, row in zip(self._adapters, seen, strict=True)])
            commands = self.robot.command(last, position)
            stamp_ns = round((first_s + (step - first) * self.robot.period_s) * NANOSECONDS)
            alarms += self._look(step, stamp_ns, position, commands)
            # The motors get what was commanded; the worlds' own decoding would start from what is really measured.
            if self._worlds.physics.advance(self._worlds.control(commands)).any():
                raise RuntimeError("the simulated physics became unstable")
            position, velocity = self._measured(step + 1)
            seen, before = self.robot.observe(position, velocity, last), seen
            self._learn(before, last, position, velocity, seen)
        return alarms

    def _look(self, step: int, stamp_ns: int, position: Array, commands: Array) -> list[Alarm]:
        alarms = []
        for world, watch in enumerate(self._watches):
            measured = position[world, : self.robot.action_dim]
            complaint = watch.measured(stamp_ns, measured) or watch.sent(commands[world])
            self.strongest = max(self.strongest, watch.strength)
            if complaint:
                alarms.append(Alarm(world, step, complaint))
                watch.begin()
        return alarms

    def _measured(self, step: int) -> tuple[Array, Array]:
        """Positions and velocities as they arrive, those of some joints exchanged."""
        position, velocity = self._worlds.physics.position.copy(), self._worlds.physics.velocity.copy()
        for world in np.flatnonzero(self._since <= step):
            pair = list(self._pairs[world])
            for signal in (position, velocity):
                signal[world, pair] = signal[world, pair[::-1]]
        return position, velocity

    def _learn(self, before: Array, actions: Array, position: Array, velocity: Array, after: Array) -> None:
        model = self._turn.reward_model
        signals = assemble(model.signal_terms, JOINTS, position, velocity)
        rewards = model.judge(signals, actions, self._tasks[:, :1]).reward
        for adapter, *parts in zip(self._adapters, before, actions, rewards, after, strict=True):
            adapter.observe(Transition(parts[0], parts[1], float(parts[2]), parts[3]))
