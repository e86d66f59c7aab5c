# SPDX-License-Identifier: Apache-2.0
"""Rows 4 and 6: parts of transitions that come twice, late, out of order or never."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from meta_rl_core.bundle import Bundle
from meta_rl_core.runtime.admission import AdmissionRules, Admitted, Refusal, StepRecord
from meta_rl_core.runtime.pairing import TransitionPairing
from meta_rl_core.runtime.terms import JointReading
from pitaya_nodes.episode_scores import Score
from tests.faults.loop import FIRST_NS, Array, Core, make_bundle
from tests.faults.tally import Tally

_STEPS = 20
_PERIOD_NS = 100_000_000
_WAIT_PERIODS = 2
_EPISODE_STEPS = 40


def scrambled_streams(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 4: each case is one stream of 20 steps, run clean and run scrambled."""
    bundle, tally = make_bundle(folder), Tally()
    worst = 0.0
    for index in range(cases):
        seed = int(generator.integers(2**31))
        readings = _readings(bundle, np.random.default_rng(seed))
        clean = _run(bundle, readings, None)
        scrambled = _run(bundle, readings, generator)
        difference = max(float(np.abs(a - b).max()) for a, b in zip(clean, scrambled, strict=True))
        worst = max(worst, difference)
        tally.case("" if difference <= 1e-6 else f"stream {index}: beliefs differ by {difference:g}")
    tally.measured = {"largest difference of a belief": worst}
    return tally


def _readings(bundle: Bundle, generator: np.random.Generator) -> list[JointReading]:
    core = Core(bundle)
    return [core.reading(FIRST_NS + step * _PERIOD_NS, generator) for step in range(_STEPS + 1)]


def _run(bundle: Bundle, readings: list[JointReading], scramble: np.random.Generator | None) -> list[Array]:
    """Mean, variance and count of the belief after one episode; rewards and echoes late if scrambled."""
    core = Core(bundle)
    episode = core.begin(_STEPS)
    later: list[tuple[int, Array | None, Score | None]] = []
    for step, reading in enumerate(readings):
        command = episode.answer(reading)
        episode.absorb()
        if command is not None:
            later.append((reading.stamp_ns, command, None))
        later.append((reading.stamp_ns, None, Score(float(step), float(step), 0.1, False)))
        if scramble is None:
            _deliver(core, later, list(range(len(later))))
            later.clear()
            continue
        _repeat_old_states(core, readings[: step + 1], scramble)
        chosen = [i for i in range(len(later)) if scramble.random() < 0.4]
        order = scramble.permutation(chosen + chosen).astype(int).tolist()
        _deliver(core, later, order)
    if scramble is not None:
        everything = scramble.permutation(list(range(len(later))) * 2).astype(int).tolist()
        _deliver(core, later, everything)
    episode.close()
    belief = core.adapter.belief
    return [belief.mean, belief.variance, np.array([float(belief.transitions)])]


def _deliver(core: Core, parts: list[tuple[int, Array | None, Score | None]], order: list[int]) -> None:
    for index in order:
        stamp_ns, command, score = parts[index]
        if command is not None:
            core.episode.executed(stamp_ns, command)
        if score is not None:
            core.episode.score(stamp_ns, score)
        core.episode.absorb()


def _repeat_old_states(core: Core, seen: list[JointReading], generator: np.random.Generator) -> None:
    for _ in range(int(generator.integers(0, 4))):
        core.episode.answer(seen[int(generator.integers(len(seen)))])


def late_rewards(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 6: each case is one transition whose reward says which step it belongs to."""
    del folder
    tally = Tally()
    pairing = TransitionPairing(AdmissionRules(0.1), timeout_s=_WAIT_PERIODS * 0.1)
    for episode in range(-(-cases // _EPISODE_STEPS)):
        _late_episode(pairing, episode, generator, tally)
    refusals = {refused.reason for refused in pairing.refusals}
    tally.demand(refusals <= {Refusal.INCOMPLETE}, f"refused for another reason than a lost part: {refusals}")
    tally.measured = {"transitions accepted": pairing.accepted, "dropped with their reward": pairing.rejected}
    return tally


def _late_episode(
    pairing: TransitionPairing, episode: int, generator: np.random.Generator, tally: Tally
) -> None:
    """Rewards come after a delay of 0 to 4 periods, one in ten never, one in ten twice."""
    delay = generator.integers(0, 5, size=_EPISODE_STEPS + 1)
    lost = generator.random(_EPISODE_STEPS + 1) < 0.1
    twice = generator.random(_EPISODE_STEPS + 1) < 0.1
    due: dict[int, list[int]] = {}
    for step in range(_EPISODE_STEPS + 1):
        if not lost[step]:
            for extra in (0, 1) if twice[step] else (0,):
                due.setdefault(step + int(delay[step]) + extra, []).append(step)
    released: list[Admitted] = []
    for now in range(_EPISODE_STEPS + 1):
        last = now == _EPISODE_STEPS
        code = np.array([float(episode), float(now)])
        action = None if last else code[1:] * 1e-3
        pairing.record(StepRecord(episode, now, _stamp(episode, now), code, action, action))
        if action is not None:
            pairing.executed(_stamp(episode, now), action)
        released += pairing.release()
        for step in generator.permutation(due.get(now, [])).astype(int).tolist():
            pairing.reward(_stamp(episode, step), _code(episode, step))
            released += pairing.release()
    released += pairing.close_episode(episode)
    accepted = {item.step: item for item in released}
    for step in range(_EPISODE_STEPS):
        # Waiting ends when the stamps told are more than 2 T past the end of the step.
        in_time = not lost[step + 1] and delay[step + 1] <= _WAIT_PERIODS and step + 1 + delay[step + 1] <= 40
        tally.case(_complaint(episode, step, accepted.get(step), bool(in_time)))


def _complaint(episode: int, step: int, item: Admitted | None, in_time: bool) -> str:
    where = f"episode {episode} step {step}"
    if item is None:
        return f"{where}: dropped, though its reward came in time" if in_time else ""
    transition = item.transition
    if transition.reward != _code(episode, step + 1):
        return f"{where}: got the reward coded {transition.reward}"
    if (transition.observation[1], transition.next_observation[1]) != (step, step + 1):
        return f"{where}: states of steps {transition.observation[1]} and {transition.next_observation[1]}"
    return "" if in_time else f"{where}: accepted, though its reward came too late"


def _code(episode: int, step: int) -> float:
    return 1000.0 * episode + step


def _stamp(episode: int, step: int) -> int:
    return FIRST_NS + (episode * (_EPISODE_STEPS + 10) + step) * _PERIOD_NS
