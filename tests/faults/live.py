# SPDX-License-Identifier: Apache-2.0
"""The whole graph as processes over DDS, with the time at which each message left its sender."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from pitaya_msgs.msg import GateStatus, JointCommand, PolicyStatus, TaskBelief
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from pitaya_nodes import convert, qos
from pitaya_nodes.bringup import find_bringup
from pitaya_nodes.domain import ReservedDomain
from pitaya_nodes.processes import Child, ProcessGroup
from tests.ros.graph import BRING_UP, REPOSITORY, Graph, Probe

# As on hardware: no node but the simulator knows the simulation's clock.
STEADY = {name: {"use_sim_time": False} for name in ("policy_node", "command_gate", "reward_node")}
ENDLESS = 1_000_000
_POLICY = REPOSITORY / "policies" / "dclaw-turn"
_HEARD = {
    "joint_states": (JointState, qos.EVERY_STATE),
    "joint_command": (JointCommand, qos.PAIRED),
    "executed_command": (JointCommand, qos.PAIRED),
    "command_gate/status": (GateStatus, qos.LATCHED),
    "policy_node/belief": (TaskBelief, qos.BELIEF),
    "policy_node/status": (PolicyStatus, qos.LATCHED),
    "/diagnostics": (DiagnosticArray, qos.REPORT),
}


_STATUSES = ("policy_node/status", "command_gate/status")
_ATTEMPTS, _MOVING = 5, 3
_LAST_WORDS_S = 0.05


class Sent(NamedTuple):
    """A message that was heard."""

    sent_ns: int
    """When its sender published it, wall clock [ns]."""
    message: Any

    @property
    def stamp_ns(self) -> int:
        """Its header's stamp [ns]."""
        return convert.stamp_ns(self.message.header.stamp)


def forwards(executed: Sent, commands: Mapping[int, Sent]) -> bool:
    """Whether this is what the policy chose, not a hold of the gate's own.

    Args:
        executed: What the gate sent.
        commands: What the policy sent, by stamp [ns].
    """
    command = commands.get(executed.stamp_ns)
    return command is not None and executed.message.position == command.message.position


class Live(Graph):
    """A graph whose messages are kept with the time at which they were sent.

    Attributes:
        heard: Messages by topic, in order of arrival.
    """

    def __init__(self, domain: int, folder: Path) -> None:
        """Prepares, starting nothing."""
        self.folder = folder
        self.environment = {"ROS_DOMAIN_ID": str(domain), "ROS_LOG_DIR": str(folder)}
        self.processes = ProcessGroup(self.environment, folder)
        self.probe = Probe(domain, {})
        self.heard: dict[str, list[Sent]] = defaultdict(list)
        for topic, (kind, profile) in _HEARD.items():
            self.probe.create_subscription(kind, topic, self._ear(topic), profile)
        self.remappings: Mapping[str, Mapping[str, str]] = {}

    def also(self, environment: Mapping[str, str]) -> None:
        """Gives the processes that are yet to be started further variables."""
        self.environment |= environment
        self.processes = ProcessGroup(self.environment, self.folder)

    def _ear(self, topic: str) -> Callable[[Any, Any], None]:
        def hear(message: Any, info: Any) -> None:
            self.heard[topic].append(Sent(int(info["source_timestamp"]), message))

        return hear

    def start(
        self,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        bring_up: Path = BRING_UP,
        **arguments: str,
    ) -> Child:
        """Starts everything with `remappings` by node name; gives the lifecycle manager."""
        manager = None
        arguments.setdefault("journal", "")
        for spec in find_bringup(str(bring_up)).resolve(arguments):
            more = (settings or {}).get(spec.name, {})
            remapped = {**spec.remappings, **self.remappings.get(spec.name, {})}
            manager = self.processes.start(
                replace(spec, parameters={**spec.parameters, **more}, remappings=remapped)
            )
        assert manager is not None
        return manager

    def last(self, topic: str) -> Sent:
        """The latest message of a topic."""
        return self.heard[topic][-1]

    def longest_gap_s(self, topic: str) -> float:
        """The longest time between two messages that were heard, or since the last one [s]."""
        times_ns = [item.sent_ns for item in self.heard[topic]] + [time.time_ns()]
        return 1e-9 * max(after - before for before, after in itertools.pairwise(times_ns))

    def forget(self) -> None:
        """Forgets what was heard, but for the latest of each topic."""
        for messages in self.heard.values():
            del messages[:-1]

    def catch_up(self) -> None:
        """Hears all that was sent until now: on a busy machine the observer lags behind what it observes."""
        now_ns, states = time.time_ns(), self.heard["joint_states"]
        self.probe.until(lambda: states and states[-1].sent_ns >= now_ns)
        self.probe.spin(_LAST_WORDS_S)

    def act(self, **fields: Any) -> Any:
        """Sends an endless goal, again if it is refused or ends in a fault, and waits until commands are executed.

        Returns:
            The goal's handle.

        Raises:
            RuntimeError: If five goals in a row ended in a fault before they moved anything.
        """
        ask = {"steps_per_episode": ENDLESS, **fields}
        executed = self.heard["executed_command"]
        for _ in range(_ATTEMPTS):
            handle = self.probe.until(lambda: self._accepted(ask))
            enough = len(executed) + _MOVING
            self.probe.until(lambda enough=enough: len(executed) >= enough or self.faults())
            if not self.faults():
                return handle
            print(f"a goal ended at its start: {self.faults()}", flush=True)
            self.clear(handle)
            self.probe.spin(1.0)  # processes that DDS has not introduced to each other yet
        raise RuntimeError(f"{_ATTEMPTS} goals in a row ended in a fault before they moved anything")

    def _accepted(self, ask: Mapping[str, Any]) -> Any:
        """Handle of a goal that was accepted, or None; what is in the way is cleared."""
        handle = self.probe.send(**ask)
        if handle.accepted:
            return handle
        if self.faults():
            self.clear()
        return None

    def faults(self) -> str:
        """What a person would have to clear, or an empty text."""
        told = [self.last(topic).message for topic in _STATUSES if self.heard[topic]]
        return "; ".join(status.reason for status in told if status.mode >= PolicyStatus.FAULT)

    def end(self, goal: Any) -> None:
        """Ends a goal."""
        goal.cancel_goal_async()
        self.probe.result(goal)

    def clear(self, goal: Any = None) -> None:
        """Ends a goal, if one runs, and the faults, so that the next case begins at rest."""
        if goal is not None:
            self.end(goal)

        def cleared() -> bool:
            answers: list[Any] = [self.probe.call(Trigger, "command_gate/clear", Trigger.Request())]
            if self.last("policy_node/status").message.mode == PolicyStatus.FAULT:
                answers.append(self.probe.call(Trigger, "policy_node/clear", Trigger.Request()))
            return all(answer.success for answer in answers)

        self.probe.until(cleared)
        self.probe.until(lambda: not self.faults())  # the answer may overtake the status
        self.forget()

    def signal(self, node: str, number: signal.Signals) -> int:
        """Sends a signal to a node's process; gives the time [ns, wall clock]."""
        os.kill(self.child(node).process.pid, number)
        return time.time_ns()

    def restart(self, node: str, pause_s: float = 0.0) -> float:
        """Starts a node anew after its end and activates it; gives when it was started [s, monotonic].

        Args:
            node: Its name.
            pause_s: How long it stays configured before it is activated, so that DDS makes it known to all [s].
        """
        child = self.child(node)
        child.process.wait(30)
        self.processes.children.remove(child)
        started_s, started_ns = time.monotonic(), time.time_ns()
        self.processes.start(child.spec)
        told = self.heard.get(f"{node}/status")
        if told is not None:
            # Until DDS has given the killed process up its services look ready, and a call to them goes nowhere.
            self.probe.until(lambda: told and told[-1].sent_ns >= started_ns)
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            if not self.probe.change(node, transition):
                raise RuntimeError(f"{node} refused to start again: {self.child(node).log_tail(5)}")
            if transition == Transition.TRANSITION_CONFIGURE:
                self.probe.spin(pause_s)
        return started_s


@contextmanager
def graph(
    folder: Path,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    remappings: Mapping[str, Mapping[str, str]] | None = None,
    before: Callable[[Live], None] = lambda _: None,
    **arguments: str,
) -> Iterator[Live]:
    """Everything active, in a domain of its own, with the shipped D'Claw policy unless told otherwise.

    Args:
        folder: Logs and the policy.
        settings: Further parameters by node name; without any, deadlines are steady as on hardware.
        remappings: Further remappings by node name.
        before: Called before the nodes start.
        arguments: Arguments of the bring-up file.
    """
    domain = ReservedDomain()
    live = Live(domain.number, folder)
    live.remappings = remappings or {}
    try:
        before(live)
        chosen = {"mode": "real_time", "bundle": str(_POLICY), **arguments}
        given = settings or {}
        merged = {name: {**STEADY.get(name, {}), **given.get(name, {})} for name in {*STEADY, *given}}
        live.up(merged, **chosen)
        yield live
    except TimeoutError as error:
        told = [
            f"{topic} {live.last(topic).message.mode}: {live.last(topic).message.reason}"
            for topic in _STATUSES
            if live.heard[topic]
        ]
        raise TimeoutError(f"{error}; last told: {'; '.join(told)}") from error
    finally:
        for child in live.processes.children:
            if child.process.poll() is None:
                os.kill(child.process.pid, signal.SIGCONT)
        live.close()
        domain.close()


def tool(live: Live, name: str, *arguments: str) -> Child:
    """Starts a module of this package as a process of the graph."""
    return live.processes.start_command(name, [sys.executable, "-m", f"tests.faults.{name}", *arguments])
