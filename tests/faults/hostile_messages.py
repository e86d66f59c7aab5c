# SPDX-License-Identifier: Apache-2.0
"""Rows 2 and 3: messages that no sane robot sends, into the cores of policy and gate."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import numpy as np
from pitaya_msgs.msg import JointCommand, StampedReward
from sensor_msgs.msg import JointState

from meta_rl_core.errors import PitayaError
from meta_rl_core.runtime.terms import JointReading
from pitaya_nodes import convert
from pitaya_nodes.command_check import CommandCheck
from pitaya_nodes.episode_scores import Score
from tests.faults.loop import FIRST_NS, Core, make_bundle
from tests.faults.tally import Tally

EXCEPTIONAL = (np.nan, np.inf, -np.inf, 1e308, -1e308, 1e39, -1e39, 5e-324, -0.0, 0.0, 1e9, -1e9, 3.0e38)
_MESSAGES_PER_EPISODE = 50
_STATES, _REWARDS, _EXECUTED, _COMMANDS = range(4)


class Fuzzer:
    """Draws messages that are sound, slightly wrong or very wrong."""

    def __init__(self, joints: tuple[str, ...], generator: np.random.Generator) -> None:
        """Takes the joints a sound message would name."""
        self._joints, self._generator = joints, generator

    def stamp_ns(self, now_ns: int) -> int:
        """A time near `now_ns`, or one that makes no sense."""
        draw = self._generator.random()
        if draw < 0.9:
            return now_ns
        if draw < 0.97:
            return max(0, now_ns + int(self._generator.integers(-(10**9), 10**9)))
        return int(self._generator.choice((0, 1, (2**31 - 1) * 10**9, -(2**31) * 10**9, now_ns + 10**15)))

    def names(self) -> list[str]:
        """Joint names: mostly the right ones."""
        names, draw = list(self._joints), self._generator.random()
        if draw < 0.6:
            return names
        if draw < 0.8:
            return [names[i] for i in self._generator.permutation(len(names))]
        pick = int(self._generator.integers(len(names)))
        if draw < 0.85:
            return names[:pick]
        if draw < 0.9:
            return [*names, names[pick]]
        if draw < 0.95:
            return [*names, "\u0000", "nose", ""]
        names[pick] = ("", "valve_joint\n", "é" * 300, names[pick].upper())[pick % 4]
        return names

    def numbers(self, count: int) -> array[float]:
        """As many numbers, or not; sound, or not."""
        draw = self._generator.random()
        if draw < 0.1:
            count = int(self._generator.choice((0, max(count - 1, 0), count + 1, 1000)))
        values = self._generator.uniform(-0.5, 0.5, count)
        if draw > 0.6 and count:
            wrong = self._generator.integers(0, count, size=int(self._generator.integers(1, 4)))
            values[wrong] = self._generator.choice(EXCEPTIONAL, size=len(wrong))
        return array("d", values)

    def number(self) -> float:
        """One number, sound or not."""
        if self._generator.random() < 0.5:
            return float(self._generator.choice(EXCEPTIONAL))
        return float(self._generator.normal())

    def state(self, now_ns: int) -> JointState:
        """A joint state."""
        names = self.names()
        message = JointState(name=names, position=self.numbers(len(names)), velocity=self.numbers(len(names)))
        message.header.stamp = _time(self.stamp_ns(now_ns))
        return message

    def command(self, now_ns: int, joints: tuple[str, ...]) -> JointCommand:
        """A command."""
        names = [name for name in self.names() if name in joints or self._generator.random() < 0.1]
        message = JointCommand(joint_names=names, position=self.numbers(len(names)))
        message.header.stamp = _time(self.stamp_ns(now_ns))
        return message

    def reward(self, now_ns: int) -> StampedReward:
        """A reward."""
        message = StampedReward(reward=self.number(), sparse_reward=self.number(), error=self.number())
        message.header.stamp = _time(self.stamp_ns(now_ns))
        return message


def fuzzed_messages(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 2: each case is one message; the promise is broken by an exception or a number that is not finite."""
    core, tally = Core(make_bundle(folder)), Tally()
    action = core.robot.action
    gate = CommandCheck(action, 0.25)
    fuzzer = Fuzzer(core.robot.joint_names, generator)
    kinds = generator.choice(4, size=cases, p=(0.5, 0.2, 0.15, 0.15))
    now_ns, refused, accepted, rejected = FIRST_NS, 0, 0, 0
    for index, kind in enumerate(kinds):
        if index % _MESSAGES_PER_EPISODE == 0:
            # One stamp from the far future ends all pairing of a goal, so goals are short here.
            if index:
                core.episode.close()
            accepted, rejected = accepted + core.pairing.accepted, rejected + core.pairing.rejected
            core.begin_goal()
            core.begin(steps=_MESSAGES_PER_EPISODE, first_ns=now_ns)
        now_ns += core.period_ns if kind == _STATES else 0
        complaint = ""
        try:
            complaint = _feed(core, gate, fuzzer, int(kind), now_ns)
        except PitayaError:
            refused += 1
        except Exception as error:  # what the row counts
            complaint = f"message {index}: {type(error).__name__}: {error}"
        if not complaint and not np.isfinite(core.belief_numbers()).all():
            complaint = f"message {index}: the belief is not finite"
        tally.case(complaint)
    tally.measured = {
        "messages refused with a reason": refused,
        "transitions that entered the belief": accepted,
        "transitions refused": rejected,
    }
    tally.demand(accepted > 0, "no transition entered the belief, so the row shows nothing")
    return tally


def _feed(core: Core, gate: CommandCheck, fuzzer: Fuzzer, kind: int, now_ns: int) -> str:
    """One message, as the nodes handle it; gives a complaint about what came out."""
    episode = core.episode
    if kind == _STATES:
        message = fuzzer.state(now_ns)
        reading = convert.reading_from_state(message, with_velocity=core.names.needs_velocity)
        gate.measured(reading.stamp_ns, lambda: reading)
        arranged = core.names.arrange(reading)
        command = episode.answer(arranged)
        if command is None:
            return ""
        # Half of the answers come back executed and rewarded, so that transitions form among the rubbish.
        episode.executed(reading.stamp_ns, command)
        episode.score(reading.stamp_ns, Score(-1.0, -1.0, 0.1, False))
        episode.absorb()
        return _not_finite("the command", command)
    if kind == _REWARDS:
        reward = fuzzer.reward(now_ns)
        stamp_ns = convert.stamp_ns(reward.header.stamp)
        episode.score(stamp_ns, Score(reward.reward, reward.reward, reward.error, reward.success))
        episode.absorb()
        return ""
    message = fuzzer.command(now_ns, core.robot.action.joints)
    reading = convert.reading_from_command(message)
    if kind == _EXECUTED:
        arranged = core.commanded.arrange(reading)
        episode.executed(arranged.stamp_ns, arranged.position)
        episode.absorb()
        return ""
    decision = gate.judge(reading)
    held = gate.hold()
    if held is not None and (complaint := _not_finite("the hold", held[1])):
        return complaint
    return "" if decision.position is None else _not_finite("the forwarded command", decision.position)


def _not_finite(what: str, values: Any) -> str:
    return "" if np.isfinite(values).all() else f"{what} is not finite: {np.asarray(values).tolist()}"


def _time(stamp_ns: int) -> Any:
    seconds, rest = divmod(stamp_ns, convert.NANOSECONDS)
    return convert.time_message(min(max(seconds, -(2**31)), 2**31 - 1) * convert.NANOSECONDS + rest)


def renamed_joints(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 3: half of the cases must change nothing to the bit, the other half must be refused."""
    core, tally = Core(make_bundle(folder)), Tally()
    permuted = refused = 0
    for index in range(cases):
        first_ns = FIRST_NS + index * 10**9
        plain = core.reading(first_ns, generator)
        if index % 2 == 0:
            harmless = _harmless(plain, generator)
            permuted += tuple(name for name in harmless.names if name in plain.names) != plain.names
            complaint = _answered_the_same(core, plain, harmless)
        else:
            complaint = _refused_by_name(core, _harmful(plain, generator))
            refused += not complaint
        tally.case(complaint and f"case {index}: {complaint}")
    tally.measured = {"cases with names in another order": permuted, "cases refused by name": refused}
    return tally


def _answered_the_same(core: Core, plain: JointReading, harmless: JointReading) -> str:
    wanted = core.begin(1, plain.stamp_ns).answer(core.names.arrange(plain))
    z = core.adapter.z
    core.begin(1, plain.stamp_ns)
    core.adapter._z = z  # the same hypothesis for both
    got = core.episode.answer(core.names.arrange(harmless))
    if wanted is not None and got is not None and wanted.tobytes() == got.tobytes():
        return ""
    return f"permuted names gave {got}, plain ones {wanted}"


def _refused_by_name(core: Core, wrong: JointReading) -> str:
    try:
        core.names.arrange(wrong)
    except PitayaError as error:
        named = any(name in str(error) for name in core.robot.joint_names) or "numbers" in str(error)
        return "" if named else f"the refusal names nothing: {error}"
    return f"accepted {wrong.names}"


def _harmless(reading: JointReading, generator: np.random.Generator) -> JointReading:
    """The same in another order, with up to three further joints whose numbers are rubbish."""
    extra = int(generator.integers(0, 4))
    names = [*reading.names, *(f"wrist_{i}" for i in range(extra))]
    position = np.concatenate([reading.position, generator.choice(EXCEPTIONAL, size=extra)])
    velocity = np.concatenate([np.asarray(reading.velocity), generator.choice(EXCEPTIONAL, size=extra)])
    order = generator.permutation(len(names))
    return JointReading(reading.stamp_ns, tuple(names[i] for i in order), position[order], velocity[order])


def _harmful(reading: JointReading, generator: np.random.Generator) -> JointReading:
    """A joint missing, repeated or misspelt, or a length that does not fit."""
    names, position, velocity = list(reading.names), reading.position, np.asarray(reading.velocity)
    pick = int(generator.integers(len(names)))
    kind = int(generator.integers(5))
    if kind == 0:
        del names[pick]
        position, velocity = np.delete(position, pick), np.delete(velocity, pick)
    elif kind == 1:
        names[pick] = names[(pick + 1) % len(names)]
    elif kind == 2:
        names[pick] += "_"
    elif kind == 3:
        position = position[:-1] if pick % 2 else np.append(position, 0.0)
    else:
        velocity = velocity[:-1] if pick % 2 else np.append(velocity, 0.0)
    return JointReading(reading.stamp_ns, tuple(names), position, velocity)
