# SPDX-License-Identifier: Apache-2.0
"""Row 5: the wall clock jumps under all nodes; the simulation starts anew in mid-episode."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pitaya_msgs.msg import GateStatus, PolicyStatus

from tests.faults.live import ENDLESS, Live, graph
from tests.faults.tally import Tally
from tests.faults.wall_clock import WallClock

_TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"
HOUR_S = 3600.0
_WATCH_S = 1.0
LONGEST_HOLD_S = 0.5


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
    tally = Tally()
    settings = {name: {"use_sim_time": True} for name in ("policy_node", "command_gate", "reward_node")}
    settings["policy_node"] |= {"plant_timeout_s": 10.0, "reward_timeout_s": 1.0}
    with graph(folder, settings) as live:
        for index in range(cases):
            handle = live.probe.send(steps_per_episode=ENDLESS, seed=index)
            live.probe.spin(float(generator.uniform(1.5, 3.0)))
            learnt = live.last("policy_node/belief").message.transitions
            live.signal("sim_node", signal.SIGKILL)
            live.restart("sim_node")
            outcome = live.probe.result(handle).result
            kept = outcome.belief.transitions
            complaint = ""
            if not outcome.message.startswith("stopped"):
                complaint = f"the goal ended as if nothing had happened: {outcome.message}"
            elif kept < learnt:
                complaint = f"{learnt - kept} transitions of the belief were lost"
            tally.case(complaint and f"reset {index}: {complaint}")
            live.forget()
    return tally
