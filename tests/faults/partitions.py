# SPDX-License-Identifier: Apache-2.0
"""Row 22: nothing passes between the plant and the nodes for a while, both ways."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.faults.bad_network import FAULT_S, PATIENT, Chaos, Settings, demand_recovery, held, moves
from tests.faults.bounds import allowed
from tests.faults.live import Live, graph, tool
from tests.faults.tally import Tally

LEASE_S = 20.0
"""After so long DDS takes a silent process from the graph [s]."""
SHORT_S, LONG_S, BEYOND_LEASE_S = (1.5, 5.0), (1.0, 60.0), (21.0, 60.0)
"""How long an outage lasts: where there are few cases, many, and in every tenth of many [s]."""
_MANY, _EVERY = 20, 10
_CERTAIN_S = FAULT_S + 0.2
_RELAYED = (
    ("SENSOR", "raw/joint_states", "joint_states"),
    ("COMMAND", "executed_command", "plant/command"),
    ("COMMAND", "raw/applied_command", "applied_command"),
    ("REWARD", "raw/reward", "reward"),
)
_REMAPPINGS = {
    "sim_node": {
        "joint_states": "raw/joint_states",
        "executed_command": "plant/command",
        "applied_command": "raw/applied_command",
    },
    "reward_node": {"reward": "raw/reward"},
}
_SETTINGS: Settings = {**PATIENT, "command_gate": {"consumer": "relay_plant_command"}}


def partition(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 22: each case is one outage, as a rule a fault, so a person clears it and sends the next goal."""
    tally, recoveries_s, given_up, alarms = Tally(), [], 0, 0
    with graph(folder, _SETTINGS, _REMAPPINGS, _start_relay) as live:
        chaos = Chaos(live, len(_RELAYED))
        while tally.cases < cases >= alarms:
            goal = live.act(seed=tally.cases)
            if not moves(live, float(generator.uniform(0.3, 0.8))):
                alarms += 1
                live.clear(goal)
                continue
            live.forget()
            length_s = _length_s(tally.cases, cases, generator)
            with _outage(live, chaos, length_s):
                given_up += not live.probe.count_publishers("joint_states")
                complaint, latency_s = held(live)
            if not complaint and length_s > allowed(_CERTAIN_S) and not live.faults():
                complaint = f"no FAULT after {length_s:.1f} s"
            healed_s = time.monotonic()
            live.clear(goal)
            goal = live.act(seed=tally.cases)
            recoveries_s.append(time.monotonic() - healed_s)
            live.end(goal)
            tally.case(complaint and f"outage {tally.cases}: {complaint}", latency_s=latency_s)
    demand_recovery(tally, recoveries_s)
    tally.measured["outages after which DDS had given the other side up"] = given_up
    tally.measured["faults before anything was cut off, not counted as cases"] = alarms
    return tally


def _start_relay(live: Live) -> None:
    tool(live, "relay", *(word for three in _RELAYED for word in three))


def _length_s(index: int, cases: int, generator: np.random.Generator) -> float:
    """How long outage `index` is to last, uniform in its logarithm [s]."""
    low_s, high_s = SHORT_S if cases < _MANY else BEYOND_LEASE_S if index % _EVERY == _EVERY - 1 else LONG_S
    return float(math.exp(generator.uniform(math.log(low_s), math.log(high_s))))


@contextmanager
def _outage(live: Live, chaos: Chaos, length_s: float) -> Iterator[None]:
    """Nothing passes for so long; where DDS is to notice, the relay itself stands still and says nothing to it."""
    chaos.do(cut=True)
    if stopped := length_s > LEASE_S:
        live.probe.spin(0.1)  # what waits for the relay when it goes on is lost too
        live.signal("relay", signal.SIGSTOP)
    live.probe.spin(length_s)
    yield
    if stopped:
        live.signal("relay", signal.SIGCONT)
    chaos.do()
