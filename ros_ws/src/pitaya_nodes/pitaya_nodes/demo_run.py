# SPDX-License-Identifier: Apache-2.0
"""One demonstration: brings a graph up in a domain of its own, adapts, and takes everything down again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pitaya_msgs.action import Adapt
from rclpy.node import Node

from pitaya_nodes.adapt_client import AdaptClient, ros_context
from pitaya_nodes.bringup import MANAGER, find_bringup
from pitaya_nodes.domain import ReservedDomain
from pitaya_nodes.errors import BringUpError, GoalCancelledError
from pitaya_nodes.interrupts import Interrupts
from pitaya_nodes.processes import ProcessGroup

BRING_UP = "dclaw_sim"
RECORDER = "recorder"
START_TIMEOUT_S = 60.0
RECORDED = ("joint_states", "executed_command", "reward", "policy_node/belief")
POLL_S = 0.05


@dataclass(frozen=True)
class DemoSettings:
    """What a demonstration does.

    Attributes:
        bundle: Directory of the policy bundle.
        plant: Registered name of the simulated plant.
        family: Task family; empty takes the plant's own.
        task_seed: Seed of the held-out task.
        seed: Seed of start states and sampled hypotheses.
        episodes: Episodes to run.
        steps: Steps per episode; 0 takes the bundle's horizon.
        exploration_episodes: Episodes at the start that act on a prior sample.
        real_time: Whether time passes as on a robot, instead of lock-step.
        folder: Run folder for logs and recording.
    """

    bundle: Path
    plant: str
    family: str
    task_seed: int
    seed: int
    episodes: int
    steps: int
    exploration_episodes: int
    real_time: bool
    folder: Path

    @property
    def recording(self) -> Path:
        """Where the recording goes."""
        return self.folder / "recording"

    def arguments(self) -> dict[str, str]:
        """Arguments of the bring-up file."""
        return {
            "bundle": str(self.bundle),
            "plant": self.plant,
            "family": self.family,
            "mode": "real_time" if self.real_time else "lock_step",
            "task_seed": str(self.task_seed),
            "record": "true",
            "out": str(self.folder),
            "journal": str(self.folder / "journal"),
        }

    def goal(self) -> Adapt.Goal:
        """The goal that is sent."""
        return Adapt.Goal(
            episodes=self.episodes,
            steps_per_episode=self.steps,
            seed=self.seed,
            reset_belief=True,
            exploration_episodes=self.exploration_episodes,
            sampling="sample",
        )


@dataclass
class DemoOutcome:
    """What came of it, also when it ended early.

    Attributes:
        feedback: One message per finished episode.
        result: Result of the action, or None if it did not finish.
        up_s: Time until all nodes were active [s].
        adapt_s: Time the goal took [s].
    """

    feedback: list[Any] = field(default_factory=list)
    result: Adapt.Result | None = None
    up_s: float = 0.0
    adapt_s: float = 0.0


def run_demo(
    settings: DemoSettings,
    interrupts: Interrupts,
    outcome: DemoOutcome,
    on_stage: Callable[[str], None],
    on_feedback: Callable[[Any], None],
) -> None:
    """Runs a demonstration; no process of it is left when this returns or raises.

    Args:
        settings: What to do; the folder must exist.
        interrupts: Says when the user wants to stop.
        outcome: Filled as things happen.
        on_stage: Called with what is done next.
        on_feedback: Called after each episode.

    Raises:
        PitayaError: If a node refuses or dies, the goal is aborted, or the user interrupts.
    """
    domain = ReservedDomain()
    environment = {"ROS_DOMAIN_ID": str(domain.number), "ROS_LOG_DIR": str(settings.folder / "logs")}
    started_s = time.monotonic()
    logs = settings.folder / "logs"
    logs.mkdir(exist_ok=True)
    try:
        with ProcessGroup(environment, logs) as group:
            for spec in find_bringup(BRING_UP).resolve(settings.arguments()):
                group.start(replace(spec, respawn=False))  # a demonstration shows what failed
            on_stage(f"{len(group.children)} nodes start in ROS domain {domain.number}")
            wait_until_up(group, interrupts)
            outcome.up_s = time.monotonic() - started_s
            on_stage("adapting")
            _adapt(settings, domain.number, interrupts, group, outcome, on_feedback)
            on_stage("closing the recording")
    finally:
        domain.close()


def wait_until_up(group: ProcessGroup, interrupts: Interrupts) -> None:
    """Waits until the lifecycle manager has activated all nodes.

    Raises:
        BringUpError: If a node refuses, dies or takes too long.
        GoalCancelledError: If the user interrupts.
    """
    end_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end_s:
        if interrupts.wait(POLL_S):
            raise GoalCancelledError("interrupted")
        for child in group.poll():
            if child.spec.name == MANAGER and child.process.returncode == 0:
                return
            raise ended(child)
    raise BringUpError(f"the nodes were not active within {START_TIMEOUT_S:g} s")


def _adapt(
    settings: DemoSettings,
    domain: int,
    interrupts: Interrupts,
    group: ProcessGroup,
    outcome: DemoOutcome,
    on_feedback: Callable[[Any], None],
) -> None:
    os.environ.setdefault("ROS_LOG_DIR", str(settings.folder / "logs"))
    with ros_context(domain) as context:
        client = AdaptClient(context, interrupts)
        topics = [client.resolve_topic_name(topic) for topic in RECORDED]
        if not client.wait_for(lambda: all(is_recorded(client, topic) for topic in topics), 10.0):
            raise BringUpError("the recorder does not listen; see its log")

        def take(feedback: Any) -> None:
            outcome.feedback.append(feedback)
            on_feedback(feedback)

        def check() -> None:
            for child in group.poll():
                raise ended(child)

        started_s = time.monotonic()
        client.between_spins = check
        try:
            outcome.result = client.adapt(settings.goal(), take)
        finally:
            outcome.adapt_s = time.monotonic() - started_s


def is_recorded(client: Node, topic: str) -> bool:
    """Whether the recorder listens to a topic."""
    return any(info.node_name == RECORDER for info in client.get_subscriptions_info_by_topic(topic))


def ended(child: Any) -> BringUpError:
    """That a process ended, and what it said last."""
    tail = child.log_tail()
    said = f"; it said last: {tail}" if tail else ""
    return BringUpError(f"{child.spec.name} ended with status {child.process.returncode}{said}")
