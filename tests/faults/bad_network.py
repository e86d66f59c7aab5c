# SPDX-License-Identifier: Apache-2.0
"""Rows 1 and 2 for the source of joint states: it falls silent, or what it says is damaged on the wire."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pitaya_msgs.msg import PolicyStatus
from std_msgs.msg import Bool, String

from pitaya_nodes import qos
from tests.faults.bounds import allowed
from tests.faults.live import Live, graph, tool
from tests.faults.relay import READY, TOPIC
from tests.faults.tally import Tally

STATE_AGE_S, HOLD_S, FAULT_S = 0.05, 0.07, 1.0
LONGEST_RECOVERY_S, RECOVERY_SHARE = 5.0, 0.95
Settings = dict[str, dict[str, Any]]
PATIENT: Settings = {"policy_node": {"plant_timeout_s": 120.0, "reward_timeout_s": 1.0}}
_WATCH_S = 0.6


class Chaos:
    """Tells a relay what to do."""

    def __init__(self, live: Live, topics: int = 1) -> None:
        """Opens the topic, and waits until the relay is connected for so many topics."""
        self._outlet = live.probe.create_publisher(String, TOPIC, qos.LATCHED)
        ready: list[Bool] = []
        # The last word of each, not of all.
        live.probe.create_subscription(Bool, READY, ready.append, qos.BELIEF)
        live.probe.until(lambda: len(ready) >= topics)

    def do(self, **script: Any) -> None:
        """Replaces the script; nothing given lets everything pass."""
        self._outlet.publish(String(data=json.dumps(script)))


@contextmanager
def relayed(folder: Path, settings: Settings = PATIENT) -> Iterator[tuple[Live, Chaos]]:
    """A graph whose joint states pass a relay."""
    remappings = {"sim_node": {"joint_states": "raw/joint_states"}}

    def start_relay(live: Live) -> None:
        tool(live, "relay", "SENSOR", "raw/joint_states", "joint_states")

    with graph(folder, settings, remappings, start_relay) as live:
        yield live, Chaos(live)


def stopped_source(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 1 b: SIGSTOP of the state source; each case is one stop of 0.2 to 0.6 s."""
    with graph(folder, PATIENT) as live:

        def begin() -> None:
            live.signal("sim_node", signal.SIGSTOP)

        def end() -> None:
            live.signal("sim_node", signal.SIGCONT)

        return _silences(live, cases, generator, begin, end, (0.2, 0.6))


def _silences(
    live: Live,
    cases: int,
    generator: np.random.Generator,
    begin: Any,
    end: Any,
    length_s: tuple[float, float],
) -> Tally:
    tally, stalls, alarms = Tally(), 0, 0
    recoveries_s: list[float] = []
    goal = live.act()
    while tally.cases < cases >= stalls + alarms:
        if not moves(live, float(generator.uniform(0.3, 0.8))):
            alarms += 1
            live.clear(goal)
            goal = live.act()
            continue
        live.forget()
        begin()
        live.probe.spin(float(generator.uniform(*length_s)))
        complaint, latency_s = held(live)
        commands = len(live.heard["joint_command"])
        healed_ns = live.probe.get_clock().now().nanoseconds
        end()
        live.probe.until(
            lambda before=commands: len(live.heard["joint_command"]) > before + 2 or live.faults()
        )
        if reason := live.faults():
            gap_s = live.longest_gap_s("joint_states")
            live.clear(goal)
            goal = live.act()
            if "no sound joint state for more than" in reason and gap_s > FAULT_S:
                stalls += 1
                continue
            complaint = complaint or f"FAULT, not HOLD: {reason}"
        else:
            first = live.heard["joint_command"][commands]
            recoveries_s.append(1e-9 * (first.sent_ns - healed_ns))
        tally.case(complaint and f"silence {tally.cases}: {complaint}", latency_s=latency_s)
    demand_recovery(tally, recoveries_s)
    tally.measured["silences that the machine drew out beyond 1 s, not counted as cases"] = stalls
    tally.measured["faults before anything fell silent, not counted as cases"] = alarms
    return tally


def moves(live: Live, wait_s: float) -> bool:
    """Lets the hand move for a while [s]; gives whether it does then, and has not met a fault by itself."""
    live.probe.spin(wait_s)
    live.probe.until(
        lambda: live.last("policy_node/status").message.mode == PolicyStatus.ACTIVE or live.faults()
    )
    return not live.faults()


def demand_recovery(tally: Tally, recoveries_s: list[float]) -> None:
    """Demands that the hand moved again soon after most ends of a silence [s]."""
    late = float(np.quantile(recoveries_s, RECOVERY_SHARE))
    tally.demand(
        late <= allowed(LONGEST_RECOVERY_S),
        f"moved again after {late:.1f} s (p95), allowed {LONGEST_RECOVERY_S:g} s",
    )
    tally.measured = {"moving again after the end, p95 [s]": late}


def held(live: Live) -> tuple[str, float | None]:
    """Complaint, and time from the last joint state to the status HOLD [s]."""
    states = live.heard["joint_states"]
    if not states:
        return "no joint state was heard", None
    told = live.heard["policy_node/status"]
    begun = next((i for i in reversed(range(len(told))) if told[i].message.mode < PolicyStatus.HOLD), -1) + 1
    if begun == len(told):
        return "the policy never said HOLD", None
    said_ns, last_ns = told[begun].sent_ns, states[-1].sent_ns
    # A stall of the machine may have made it hold before the last state came.
    latency_s = 1e-9 * (said_ns - last_ns) if said_ns > last_ns else None
    if any(item.sent_ns > said_ns for item in live.heard["joint_command"]):
        return "a command left after HOLD", latency_s
    if latency_s is not None and latency_s > allowed(HOLD_S):
        return f"HOLD only after {1e3 * latency_s:.0f} ms", latency_s
    return "", latency_s


def corrupted_messages(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 2 b: joint states corrupted on the wire while an episode runs; each case is one joint state.

    One in fifty gets a wild stamp and is sound otherwise. Should a goal end, a new one is sent.
    """
    tally, seen, goals, ended = Tally(), 0, 0, ""
    with relayed(folder, {"policy_node": {"plant_timeout_s": 3.0, "reward_timeout_s": 1.0}}) as (live, chaos):
        while tally.cases < cases and not tally.failures:
            live.act()
            goals += 1
            seed = int(generator.integers(2**31))
            chaos.do(corrupt=0.1, wild=0.02, drop=0.05, repeat=0.05, reorder=0.05, seed=seed)
            while live.last("policy_node/status").message.mode != PolicyStatus.READY and tally.cases < cases:
                live.probe.spin(1.0)
                seen += len(live.heard["executed_command"]) - 1
                told = [item.message for item in live.heard["policy_node/status"]]
                ended = next((status.reason for status in told if status.mode == PolicyStatus.READY), ended)
                _count_states(live, tally)
                live.forget()
            chaos.do()
            live.probe.spin(0.5)
    tally.measured = {"commands executed meanwhile": seen, "goals": goals}
    tally.demand(goals == 1, f"{goals - 1} goals were ended by what was heard, the last: {ended}")
    tally.demand(seen > 0, "no command was executed, so the row shows little")
    return tally


def _count_states(live: Live, tally: Tally) -> None:
    tally.case(count=len(live.heard["joint_states"]) - 1)
    for item in live.heard["executed_command"]:
        if not np.isfinite(item.message.position).all():
            tally.case(f"a command was not finite: {list(item.message.position)}")
    for item in live.heard["policy_node/belief"]:
        if not np.isfinite([*item.message.mean, *item.message.std]).all():
            tally.case("a belief was not finite")
    for child in live.processes.children:
        if child.process.poll():
            tally.case(f"{child.spec.name} ended: {child.log_tail(1)}")
