# SPDX-License-Identifier: Apache-2.0
"""Row 5: the wall clock jumps under all nodes; the simulation starts anew in mid-episode."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pitaya_msgs.msg import GateStatus, PolicyStatus

from tests.faults.bad_network import moves
from tests.faults.live import Live, graph
from tests.faults.tally import Tally
from tests.faults.wall_clock import WallClock

_TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"
HOUR_S = 3600.0
_WATCH_S = 1.0
LONGEST_HOLD_S = 0.5
LONGEST_RESET_S = 0.2
"""A tick of the policy, 0.1 s, after the first state that shows it; twice that, since other programs run too [s]."""
_INTRODUCED_S = 1.0
"""What DDS may take to introduce the new simulator to the others, so that its first state reaches them [s]."""
_WENT_BACK = re.compile(r"the stamps of joint_states went back by [0-9.]+ s")


def wall_clock_jumps(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 5 a: each case is one jump of up to an hour; every fifth is followed by a policy that hangs."""
    tally, clock = Tally(), WallClock(folder)
    settings = {"policy_node": {"plant_timeout_s": 20.0, "reward_timeout_s": 1.0}}
    with (
        _without_shared_memory(),
        graph(folder, settings, before=lambda live: live.also(clock.environment)) as live,
    ):
        live.act()
        for index in range(cases):
            live.probe.spin(0.2)
            live.forget()
            clock.set(float(generator.uniform(-HOUR_S, HOUR_S)))
            if index % 5 == 4:
                complaint = _missed_hold(live)
            else:
                live.probe.spin(_WATCH_S)
                complaint = _false_hold(live)
            tally.case(complaint and f"jump {index}: {complaint}")
    return tally


@contextmanager
def _without_shared_memory() -> Iterator[None]:
    """Only UDP between processes: shared memory compares the clocks of both sides, and the harness's does not jump."""
    former = os.environ.get(_TRANSPORTS)
    os.environ[_TRANSPORTS] = "UDPv4"
    try:
        yield
    finally:
        os.environ.pop(_TRANSPORTS)
        if former is not None:
            os.environ[_TRANSPORTS] = former


def _false_hold(live: Live) -> str:
    for topic, holding in (
        ("command_gate/status", GateStatus.HOLD),
        ("policy_node/status", PolicyStatus.HOLD),
    ):
        for item in live.heard[topic][1:]:
            if item.message.mode >= holding:
                return f"{topic} said {item.message.reason}"
    commands = len(live.heard["executed_command"]) - 1
    return "" if commands >= 5 else f"only {commands} commands in {_WATCH_S:g} s"


def _missed_hold(live: Live) -> str:
    """The policy hangs; by the clock of the harness, which does not jump, the gate must hold."""
    live.signal("policy_node", signal.SIGSTOP)
    live.probe.spin(0.05)
    live.forget()
    began_s = time.monotonic()
    statuses = live.heard["command_gate/status"]
    try:
        live.probe.until(lambda: statuses[-1].message.mode == GateStatus.HOLD, 3.0)
        took_s = time.monotonic() - began_s
        complaint = f"held only after {took_s:.2f} s" if took_s > LONGEST_HOLD_S else ""
    except TimeoutError:
        complaint = "the gate did not hold"
    live.signal("policy_node", signal.SIGCONT)
    commands = len(live.heard["executed_command"])
    live.probe.until(lambda: len(live.heard["executed_command"]) > commands + 3)
    return complaint


def simulation_resets(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 5 b: the simulator is killed and starts anew, so that /clock and all stamps go back, in mid-episode."""
    tally, holds_s, alarms = Tally(), [], 0
    settings = {name: {"use_sim_time": True} for name in ("policy_node", "command_gate", "reward_node")}
    settings["policy_node"] |= {"plant_timeout_s": 60.0, "reward_timeout_s": 1.0}
    with graph(folder, settings) as live:
        while tally.cases < cases >= alarms:
            goal = live.act(seed=tally.cases)
            if not moves(live, float(generator.uniform(1.5, 3.0))):
                alarms += 1
                live.clear(goal)
                continue
            learnt = live.last("policy_node/belief").message.transitions
            killed_ns = live.signal("sim_node", signal.SIGKILL)
            live.restart("sim_node", _INTRODUCED_S)
            outcome = live.probe.result(goal).result
            complaint, latency_s, hold_s = _judge_reset(live, killed_ns, outcome.message)
            holds_s += [] if hold_s is None else [hold_s]
            if not complaint and outcome.belief.transitions < learnt:
                complaint = f"{learnt - outcome.belief.transitions} transitions of the belief were lost"
            tally.case(complaint and f"reset {tally.cases}: {complaint}", latency_s=latency_s)
            live.forget()
    latest_s = max(holds_s, default=float("nan"))
    tally.measured = {
        "the gate's hold after the first state of the new simulator, latest [s of its clock]": latest_s,
        "faults before the simulator was killed, not counted as cases": alarms,
    }
    return tally


def _judge_reset(live: Live, killed_ns: int, message: str) -> tuple[str, float | None, float | None]:
    """Complaint; from the new simulator's first state to the episode's end, and by its clock to the gate's hold [s]."""
    live.probe.spin(LONGEST_HOLD_S)
    live.catch_up()
    first = next(item for item in live.heard["joint_states"] if item.sent_ns > killed_ns)
    ends = [item for item in live.heard["policy_node/status"] if _WENT_BACK.search(item.message.reason)]
    if not _WENT_BACK.search(message) or not ends:
        return f"the goal did not end because the stamps went back: {message}", None, None
    latency_s = 1e-9 * (ends[-1].sent_ns - first.sent_ns)
    if any(item.sent_ns > first.sent_ns for item in live.heard["joint_command"]):
        return "the policy answered the new simulator", latency_s, None
    holds = [item for item in live.heard["executed_command"] if item.sent_ns > first.sent_ns]
    hold_s = 1e-9 * (holds[0].stamp_ns - first.stamp_ns) if holds else None
    if hold_s is None or hold_s > LONGEST_HOLD_S:
        return f"the gate did not hold within {LONGEST_HOLD_S:g} s", latency_s, hold_s
    if latency_s > LONGEST_RESET_S:
        return f"the episode ended only after {1e3 * latency_s:.0f} ms", latency_s, hold_s
    return "", latency_s, hold_s
