# SPDX-License-Identifier: Apache-2.0
"""Rows 7 and 23: a robot that does not follow, and somebody else who commands it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from lifecycle_msgs.msg import Transition
from pitaya_msgs.msg import GateStatus, JointCommand, StampedReward, Task
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from pitaya_nodes import qos
from pitaya_nodes.commanders import UNNAMED
from pitaya_nodes.convert import stamp_ns
from tests.faults.bad_network import Chaos
from tests.faults.bounds import allowed
from tests.faults.live import Live, Sent, graph, tool
from tests.faults.tally import Tally

FOLLOWING_S, INTRUDER_S, MISFIT_S = 0.5, 1.0, 2.0
_PATIENT = {"policy_node": {"plant_timeout_s": 5.0, "reward_timeout_s": 1.0}}
_TOPICS = (
    ("executed_command", JointCommand),
    ("forward_position_controller/commands", Float64MultiArray),
    ("joint_command", JointCommand),
)

_MISFITS = (
    ("executed_command", JointCommand, True),
    ("reward", StampedReward, False),
    ("joint_states", JointState, True),
    ("task", Task, False),
)
"""Readers that ask for more than is offered, and writers that offer less than is asked for."""


def lost_commands(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 7 a: the gate's commands get lost on the way to a robot that tells which ones it carries out."""
    return _lose_commands(cases, generator, folder, told=True)


def lost_commands_untold(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 7 b: the same with a robot that does not tell."""
    return _lose_commands(cases, generator, folder, told=False)


def _lose_commands(cases: int, generator: np.random.Generator, folder: Path, *, told: bool) -> Tally:
    """Each case is one loss in mid-episode."""
    tally, pollution, false_alarms = Tally(), 0, 0
    settings = {
        "policy_node": {**_PATIENT["policy_node"], "acknowledged": told},
        "command_gate": {"consumer": "relay_plant_command", "acknowledged": told},
    }
    remappings = {"sim_node": {"executed_command": "plant/command"}}

    def start_relay(live: Live) -> None:
        tool(live, "relay", "COMMAND", "executed_command", "plant/command")

    with graph(folder, settings, remappings, start_relay) as live:
        chaos = Chaos(live)
        arrived: list[JointCommand] = []
        live.probe.create_subscription(JointCommand, "plant/command", arrived.append, qos.PAIRED)
        while tally.cases < cases >= false_alarms:
            goal = live.act(seed=tally.cases + false_alarms)
            live.probe.spin(float(generator.uniform(0.5, 1.5)))
            cut_ns = live.probe.get_clock().now().nanoseconds
            chaos.do(cut=True)
            fault = _await_fault(live, cut_ns, 5.0)
            chaos.do()
            lost = _first_lost(live, cut_ns, arrived)
            if lost is None or (fault is not None and fault.sent_ns < lost.sent_ns):
                false_alarms += 1
            else:
                complaint, latency_s, learnt = _judge_loss(live, fault, lost)
                tally.case(complaint and f"loss {tally.cases}: {complaint}", latency_s=latency_s)
                pollution = max(pollution, learnt)
            live.clear(goal)
    tally.measured = {
        "most transitions that stayed in the belief without having been executed": pollution,
        "faults before anything was lost, not counted as cases": false_alarms,
    }
    return tally


def _judge_loss(live: Live, fault: Sent | None, lost: Sent) -> tuple[str, float | None, int]:
    """Complaint, time from the first lost command to the fault [s], transitions learnt that were not executed."""
    complaint, latency_s = _judge(fault, lost.sent_ns, FOLLOWING_S, "follow")
    live.catch_up()
    # What had entered the belief when the loss was found is taken back again: what counts is what it says afterwards.
    last = live.last("policy_node/belief")
    learnt = sum(
        item.sent_ns > lost.sent_ns and lost.stamp_ns <= item.stamp_ns <= last.stamp_ns
        for item in live.heard["policy_node/belief"]
    )
    if not complaint and learnt:
        complaint = f"{learnt} transitions that were not executed are in the belief"
    return complaint, latency_s, learnt


def _first_lost(live: Live, cut_ns: int, arrived: list[JointCommand]) -> Sent | None:
    """The first command that the robot did not get, if any; the relay takes a moment to hear that it is to cut."""
    missing = {item.stamp_ns for item in live.heard["joint_command"]}
    missing -= {stamp_ns(command.header.stamp) for command in arrived}
    executed = (item for item in live.heard["executed_command"] if item.sent_ns > cut_ns)
    return next((item for item in executed if item.stamp_ns in missing), None)


def intruder(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 23 a: a second publisher appears on one of the gate's topics while the hand moves."""
    tally = Tally()
    with graph(folder, _PATIENT) as live:
        domain = live.probe.ros.get_domain_id()
        for index in range(cases):
            goal = live.act(seed=index)
            live.probe.spin(float(generator.uniform(0.2, 1.0)))
            topic, kind = _TOPICS[index % len(_TOPICS)]
            name = f"stranger_{index}"
            with _Stranger(domain, name, topic, kind) as stranger:
                began_ns = stranger.began_ns
                fault = _await_fault(live, began_ns, 5.0)
                late = _forwarded_after(live, fault)
            complaint, latency_s = _judge(fault, began_ns, INTRUDER_S, f"{name}|{UNNAMED}")
            complaint = complaint or late
            tally.case(complaint and f"stranger {index} on {topic}: {complaint}", latency_s=latency_s)
            live.clear(goal)
    return tally


def _forwarded_after(live: Live, fault: Sent | None) -> str:
    if fault is None:
        return ""
    live.probe.spin(0.3)
    late = [item for item in live.heard["executed_command"] if item.sent_ns > fault.sent_ns]
    return f"{len(late)} commands left after FAULT" if late else ""


def second_at_start(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 23 b: a second publisher is there before the gate is configured or activated."""
    del generator
    tally = Tally()
    with graph(folder, _PATIENT) as live:
        domain = live.probe.ros.get_domain_id()
        for index in range(cases):
            assert live.probe.change("command_gate", Transition.TRANSITION_DEACTIVATE)
            wanted = [Transition.TRANSITION_ACTIVATE]
            if index % 2:
                assert live.probe.change("command_gate", Transition.TRANSITION_CLEANUP)
                wanted = [Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE]
            topic, kind = _TOPICS[index // 2 % 2]
            with _Stranger(domain, f"stranger_{index}", topic, kind):
                live.probe.spin(1.0)
                accepted = live.probe.change("command_gate", wanted[0])
            tally.case(f"start {index} beside a publisher on {topic}: accepted" if accepted else "")
            live.probe.spin(0.5)
            for transition in wanted[1:] if accepted else wanted:
                _insist(lambda transition=transition: live.probe.change("command_gate", transition))
    return tally


def misfit(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 23 c: somebody joins a topic with a QoS under which no message passes; /diagnostics must name both."""
    del generator
    tally = Tally()
    with graph(folder, _PATIENT) as live:
        domain = live.probe.ros.get_domain_id()
        for index in range(cases):
            topic, kind, reads = _MISFITS[index % len(_MISFITS)]
            name = f"stranger_{index}"
            with _Stranger(domain, name, topic, kind, reads=reads) as stranger:
                latency_s = _diagnosed(live, topic, name, stranger.began_ns)
            complaint = "" if latency_s is not None else f"nothing said within {2 * MISFIT_S:g} s"
            if latency_s is not None and latency_s > MISFIT_S:
                complaint = f"said only after {latency_s:.2f} s"
            tally.case(complaint and f"{name} on {topic}: {complaint}", latency_s=latency_s)
            live.forget()
    return tally


def _diagnosed(live: Live, topic: str, name: str, since_ns: int) -> float | None:
    """How long after `since_ns` [ns] a line of /diagnostics told of the misfit [s]."""

    def told() -> Sent | None:
        for report in live.heard["/diagnostics"]:
            texts = [
                status.message
                for status in report.message.status
                if status.name.endswith("quality of service")
            ]
            if report.sent_ns > since_ns and any(f"/{topic} " in text and name in text for text in texts):
                return report
        return None

    try:
        return 1e-9 * (live.probe.until(told, 2 * MISFIT_S).sent_ns - since_ns)
    except TimeoutError:
        return None


def _insist(attempt: Callable[[], bool]) -> None:
    for _ in range(20):
        if attempt():
            return
    raise RuntimeError("the gate did not start again after the stranger had left")


class _Stranger:
    """A node in a DDS participant of its own that publishes on a topic, as long as it is entered."""

    def __init__(self, domain: int, name: str, topic: str, kind: type, *, reads: bool | None = None) -> None:
        """Prepares; `reads` false or true publishes or subscribes with a QoS that fits nobody here."""
        self._domain, self._name, self._topic, self._kind, self._reads = domain, name, topic, kind, reads

    def __enter__(self) -> _Stranger:
        """Joins, and publishes or subscribes once the gate is known: DDS may take 3 s to introduce a newcomer."""
        self._context = Context()
        self._context.init(domain_id=self._domain)
        self._node = Node(self._name, context=self._context)
        heard: list[GateStatus] = []
        self._node.create_subscription(GateStatus, "command_gate/status", heard.append, qos.LATCHED)
        spinner, end_s = SingleThreadedExecutor(context=self._context), time.monotonic() + 20.0
        spinner.add_node(self._node)
        while not heard and time.monotonic() < end_s:
            spinner.spin_once(timeout_sec=0.05)
        spinner.remove_node(self._node)
        if self._reads:
            self._node.create_subscription(self._kind, self._topic, lambda _: None, qos.LATCHED)
        else:
            profile = qos.PAIRED if self._reads is None else qos.SENSOR
            self._node.create_publisher(self._kind, self._topic, profile)
        self.began_ns = time.time_ns()
        return self

    def __exit__(self, *_: object) -> None:
        self._node.destroy_node()
        self._context.try_shutdown()


def _await_fault(live: Live, since_ns: int, patience_s: float) -> Sent | None:
    statuses = live.heard["command_gate/status"]

    def found() -> Sent | None:
        return next(
            (s for s in statuses if s.sent_ns > since_ns and s.message.mode == GateStatus.FAULT), None
        )

    try:
        return live.probe.until(found, patience_s)
    except TimeoutError:
        return None


def _judge(fault: Sent | None, since_ns: int, longest_s: float, said: str) -> tuple[str, float | None]:
    if fault is None:
        return "no FAULT", None
    latency_s = 1e-9 * (fault.sent_ns - since_ns)
    if not re.search(said, fault.message.reason):
        return f"the reason does not tell of it: {fault.message.reason}", latency_s
    return (f"FAULT only after {1e3 * latency_s:.0f} ms" if latency_s > allowed(longest_s) else ""), latency_s
