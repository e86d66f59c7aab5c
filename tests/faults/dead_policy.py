# SPDX-License-Identifier: Apache-2.0
"""Rows 8 and 9: the policy process is killed or hangs while the hand moves, and starts again."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pitaya_msgs.msg import PolicyStatus

from tests.faults.bounds import allowed
from tests.faults.live import Live, Sent, graph
from tests.faults.tally import Tally

HOLD_S, CEILING_S = 0.25, 0.5
LARGEST_MOTION_RAD = 0.1
PERIOD_NS = 100_000_000
"""Of the shipped policy."""
LONGEST_START_S, START_SHARE = 5.0, 0.95
_WATCH_S = 1.0


def killed_policy(cases: int, generator: np.random.Generator, folder: Path) -> dict[str, Tally]:
    """Rows 8 a and 9: kill -9 at a random moment, then a new process."""
    held, restarted = Tally(), Tally()
    starts_s: list[float] = []
    motions: list[Motion] = []
    settings = {"policy_node": {"plant_timeout_s": 30.0, "journal": str(folder / "journal")}}
    with graph(folder, settings) as live:
        for index in range(cases):
            live.act(reset_belief=index % 10 == 0, seed=index)
            live.probe.spin(float(generator.uniform(0.2, 1.2)))
            live.signal("policy_node", signal.SIGKILL)
            told = [item.message for item in live.heard["policy_node/belief"]]
            complaint, latency_s, motion = _watch_hold(live)
            motions.append(motion)
            held.case(complaint and f"kill {index}: {complaint}", latency_s=latency_s)
            told += [item.message for item in live.heard["policy_node/belief"][len(told) :]]
            complaint, took_s = _restart(live, told, folder / "journal" / "policy_node.sqlite")
            starts_s.append(took_s)
            restarted.case(complaint and f"kill {index}: {complaint}", latency_s=took_s)
            live.forget()
    held.measured = _hold_figures(held, motions)
    late = float(np.quantile(starts_s, START_SHARE))
    restarted.demand(
        late <= allowed(LONGEST_START_S), f"READY after {late:.1f} s (p95), allowed {LONGEST_START_S:g} s"
    )
    return {"8 a": held, "9": restarted}


def hanging_policy(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 8 b: SIGSTOP at a random moment, SIGCONT a second later."""
    tally = Tally()
    motions: list[Motion] = []
    with graph(folder, {"policy_node": {"plant_timeout_s": 30.0}}) as live:
        live.act()
        for index in range(cases):
            live.probe.spin(float(generator.uniform(0.2, 0.6)))
            live.signal("policy_node", signal.SIGSTOP)
            complaint, latency_s, motion = _watch_hold(live)
            motions.append(motion)
            live.signal("policy_node", signal.SIGCONT)
            before = len(live.heard["joint_command"])
            live.probe.until(lambda before=before: len(live.heard["joint_command"]) > before + 2)
            tally.case(complaint and f"hang {index}: {complaint}", latency_s=latency_s)
            live.forget()
    tally.measured = _hold_figures(tally, motions)
    return tally


class Motion(NamedTuple):
    """How far a joint went beyond the way from where it was to where the last command sent it [rad]."""

    after_due: float = 0.0
    """Counted from when the next command was due: until then the hand does what a live policy told it."""
    after_last: float = 0.0
    """Counted from the state that the last command answers, so with what the hand still swings from earlier ones."""
    farthest: str = ""
    """Which joint that was, and when."""


def _hold_figures(tally: Tally, motions: list[Motion]) -> dict[str, float]:
    beyond = sum(latency > 1e3 * CEILING_S for latency in tally.latencies_ms)
    return {
        "largest extra motion [rad]": max(motion.after_due for motion in motions),
        "largest motion counted from the state that the last command answers [rad]": max(
            motion.after_last for motion in motions
        ),
        f"cases of that above {LARGEST_MOTION_RAD:g} rad": sum(
            motion.after_last > LARGEST_MOTION_RAD for motion in motions
        ),
        f"holds later than the ceiling of {1e3 * CEILING_S:g} ms": beyond,
    }


def _watch_hold(live: Live) -> tuple[str, float | None, Motion]:
    """Complaint, time from the last sound command to the hold [s], extra motion."""
    live.probe.spin(_WATCH_S)
    live.catch_up()
    commands = {item.stamp_ns: item for item in live.heard["joint_command"]}
    executed = live.heard["executed_command"]
    last = last_passed(executed, commands)
    if last is None:
        return "no command had been forwarded", None, Motion()
    holds = [item for item in executed if item.sent_ns > last.sent_ns]
    motion = _extra_motion(live, last)
    if not holds:
        said = live.last("command_gate/status").message
        return f"no hold within {_WATCH_S:g} s; the gate says {said.mode}: {said.reason}", None, motion
    latency_s = 1e-9 * (holds[0].sent_ns - commands[last.stamp_ns].sent_ns)
    if latency_s > allowed(HOLD_S):
        return f"held only after {1e3 * latency_s:.0f} ms", latency_s, motion
    if motion.after_due > allowed(LARGEST_MOTION_RAD):
        complaint = f"moved {motion.after_due:.3f} rad further than was commanded: {motion.farthest}"
        return f"{complaint}; held {1e3 * latency_s:.0f} ms after that command", latency_s, motion
    return "", latency_s, motion


def last_passed(executed: Sequence[Sent], commands: Mapping[int, Sent]) -> Sent | None:
    """What the gate last made of a command of the policy: the same, or cut, as while it starts softly; no hold.

    Args:
        executed: What the gate sent, in order; a hold is stamped with a state that no command answers.
        commands: What the policy sent, by stamp [ns].
    """
    return next((item for item in reversed(executed) if item.stamp_ns in commands), None)


def _extra_motion(live: Live, last: Sent) -> Motion:
    after_due, farthest = _beyond(live, last, last.stamp_ns + PERIOD_NS)
    return Motion(after_due, _beyond(live, last, last.stamp_ns)[0], farthest)


def _beyond(live: Live, last: Sent, from_ns: int) -> tuple[float, str]:
    """How far a joint went beyond the way from where it was then to where the last command sent it [rad]; which."""
    later = [item for item in live.heard["joint_states"] if item.stamp_ns >= from_ns]
    if not later:
        return 0.0, ""
    joints, target = last.message.joint_names, np.array(last.message.position)
    index = [later[0].message.name.index(joint) for joint in joints]
    way = np.array([np.array(item.message.position)[index] for item in later])
    low, high = np.minimum(way[0], target), np.maximum(way[0], target)
    beyond = np.maximum(np.maximum(low - way, way - high), 0.0)
    when, joint = np.unravel_index(beyond.argmax(), beyond.shape)
    farthest = (
        f"{joints[joint]} at {way[0][joint]:.3f} when the next one was due, sent to {target[joint]:.3f}, "
        f"at {way[when][joint]:.3f} rad {1e-6 * (later[when].stamp_ns - last.stamp_ns):.0f} ms after its state"
    )
    return float(beyond.max()), farthest


class Committed(NamedTuple):
    """The state that the journal's last record holds."""

    transitions: int
    evidence_precision: list[float]
    evidence_precision_mean: list[float]
    z: list[float]


def _committed(journal: Path) -> Committed:
    """What a killed process had committed last, read from a copy and without the code that restores it."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{journal}{suffix}", Path(folder, f"copy{suffix}"))
        with closing(sqlite3.connect(Path(folder, "copy"))) as database:
            query = f"SELECT {', '.join(Committed._fields)} FROM record ORDER BY record DESC LIMIT 1"
            transitions, *vectors = database.execute(query).fetchone()
    return Committed(transitions, *(np.frombuffer(vector or b"", "<f8").tolist() for vector in vectors))


def _restart(live: Live, told: list[Any], journal: Path) -> tuple[str, float]:
    """Complaint, and time from the start of the process to READY [s]."""
    live.heard["policy_node/status"].clear()
    live.heard["policy_node/belief"].clear()
    statuses, beliefs = live.heard["policy_node/status"], live.heard["policy_node/belief"]
    commands, committed = len(live.heard["joint_command"]), _committed(journal)
    started_s = live.restart("policy_node")
    live.probe.until(lambda: statuses and statuses[-1].message.mode == PolicyStatus.READY)
    took_s = time.monotonic() - started_s
    restored = live.probe.until(lambda: beliefs[-1].message if beliefs else None)
    if len(live.heard["joint_command"]) > commands:
        return "the new process sent a command without a goal", took_s
    if differing := _differing(restored, committed):
        return f"the belief differs from what was committed last in {', '.join(differing)}", took_s
    # The last one: a goal that resets the belief tells of fewer transitions than were told before.
    newest = told[-1].transitions
    if restored.transitions < newest - 1:
        return f"{newest - restored.transitions} transitions are lost", took_s
    return "", took_s


def _differing(restored: Any, committed: Committed) -> list[str]:
    vectors = [
        name for name in Committed._fields[1:] if list(getattr(restored, name)) != getattr(committed, name)
    ]
    return vectors if restored.transitions == committed.transitions else ["transitions", *vectors]
