# SPDX-License-Identifier: Apache-2.0
"""Row 26: an emergency stop, by topic and by service, of a hand that moves under a policy that does not hear of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pitaya_msgs.msg import GateStatus
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from pitaya_nodes import qos
from tests.faults.bounds import allowed
from tests.faults.live import Live, Sent, forwards, graph
from tests.faults.tally import Tally

LONGEST_S = 0.1
"""A period of the policy: no more than the one command that may be on its way goes on after the word to stop. The gate
does not wait for its next look, so what is above a few milliseconds is the computer's [s]."""
_TOPIC = "emergency_stop"
_DEAF = {"policy_node": {"command_gate/status": "unheard/status"}}
"""A policy that hears that the gate has stopped ends its goal; one that does not puts the gate to the test."""
_WATCH_S, _FEWEST_REFUSED, _MOVING = 0.6, 3, 3
_HOLD_RAD = 0.02
"""A hold is the measured position, cut to the limits, which a hand can overshoot by a little [rad]."""


def emergency_stops(cases: int, generator: np.random.Generator, folder: Path) -> dict[str, Tally]:
    """Rows 26 a and 26 b: each case is one stop at a random moment by topic, and one by service."""
    tallies, refused = {"26 a": Tally(), "26 b": Tally()}, 0
    with graph(folder, {"policy_node": {"plant_timeout_s": 60.0}}, _DEAF) as live:
        button = _Button(live)
        live.act()
        for index in range(cases):
            for number, press in (("26 a", button.publish), ("26 b", button.call)):
                live.forget()
                live.probe.spin(float(generator.uniform(0.3, 0.8)))
                pressed_ns, way = press(index)
                live.probe.spin(_WATCH_S)
                live.catch_up()
                complaint, latency_s, came = _judge(live, pressed_ns, way)
                refused += came
                tallies[number].case(complaint and f"stop {index}: {complaint}", latency_s=latency_s)
                _go_on(live)
    for tally in tallies.values():
        tally.measured = {"commands of the policy that came after a stop, by topic and service": refused}
    return tallies


class _Button:
    """What a person presses, connected to the gate."""

    def __init__(self, live: Live) -> None:
        """Waits until the gate hears topic and service; a button may be reliable or not."""
        self._probe = live.probe
        self._outlets = [live.probe.create_publisher(Bool, _TOPIC, way) for way in (qos.COMMAND, qos.SENSOR)]
        self._client = live.probe.create_client(Trigger, _TOPIC)
        live.probe.until(lambda: all(outlet.get_subscription_count() for outlet in self._outlets))
        live.probe.until(self._client.service_is_ready)
        live.probe.meet("command_gate")

    def publish(self, index: int) -> tuple[int, str]:
        """Presses the one and the other button by turns; gives when [ns, wall clock], and what the gate is to say."""
        pressed_ns = time.time_ns()
        self._outlets[index % 2].publish(Bool(data=True))
        return pressed_ns, f"emergency stop on topic /{_TOPIC}"

    def call(self, _: int) -> tuple[int, str]:
        """Calls the service; gives when [ns, wall clock], and what the gate is to say."""
        pressed_ns = time.time_ns()
        future = self._client.call_async(Trigger.Request())
        self._probe.until(future.done)
        return pressed_ns, f"emergency stop by service /{_TOPIC}"


def _judge(live: Live, pressed_ns: int, way: str) -> tuple[str, float | None, int]:
    """Complaint, time from the word to stop to the hold [s], and how many commands came after that."""
    commands = {item.stamp_ns: item for item in live.heard["joint_command"]}
    sent = [item for item in live.heard["executed_command"] if item.sent_ns > pressed_ns]
    while sent and forwards(sent[0], commands):
        del sent[0]  # was on its way
    status = live.last("command_gate/status").message
    if not sent:
        return _without_hold(live, status, pressed_ns, way), None, 0
    hold, passed = sent[0], sent[1:]
    latency_s = 1e-9 * (hold.sent_ns - pressed_ns)
    came = sum(item.sent_ns > hold.sent_ns for item in live.heard["joint_command"])
    if latency_s > allowed(LONGEST_S):
        return f"held only after {1e3 * latency_s:.0f} ms", latency_s, came
    if (away_rad := _away_rad(live, hold)) > _HOLD_RAD:
        return f"what was sent lies {away_rad:.3f} rad from the measured position", latency_s, came
    if passed:
        return f"{len(passed)} commands left after the hold", latency_s, came
    if status.mode != GateStatus.STOPPED or status.reason != way:
        return f"the gate says {status.mode}: {status.reason}", latency_s, came
    if came < _FEWEST_REFUSED:
        return f"only {came} commands came after the hold, so that none left shows little", latency_s, came
    return "", latency_s, came


def _without_hold(live: Live, status: GateStatus, pressed_ns: int, way: str) -> str:
    """Complaint of a stop after which no hold was sent; none is needed where the gate held already."""
    commands = {item.stamp_ns: item for item in live.heard["joint_command"]}
    executed = live.heard["executed_command"]
    before = [item for item in executed if item.sent_ns <= pressed_ns]
    held = bool(before) and not forwards(before[-1], commands) and before[-1] is executed[-1]
    if held and status.mode == GateStatus.STOPPED and status.reason == way:
        return ""
    left = len(executed) - len(before)
    return f"no hold; the gate says {status.mode}: {status.reason}; {left} commands left after the word"


def _away_rad(live: Live, hold: Sent) -> float:
    """Largest distance of a joint's command from the position that it answers [rad]."""
    states = (item.message for item in live.heard["joint_states"] if item.stamp_ns == hold.stamp_ns)
    measured: Mapping[str, float] = {}
    for state in states:
        measured = dict(zip(state.name, state.position, strict=True))
    command = zip(hold.message.joint_names, hold.message.position, strict=True)
    return max(abs(position - measured.get(name, np.inf)) for name, position in command)


def _go_on(live: Live) -> None:
    """A person clears the stop, and the hand moves again."""
    live.clear()
    executed = live.heard["executed_command"]
    enough = len(executed) + _MOVING
    live.probe.until(lambda: len(executed) >= enough)
