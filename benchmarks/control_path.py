# SPDX-License-Identifier: Apache-2.0
"""Joint state published to command received, across processes, beside bare rclpy nodes with as many hops.

Driver -> policy_node -> command_gate -> driver, and driver -> bare node -> bare node -> driver, are measured in turn,
block by block, in one run, so that both meet the same load. The policy runs a bundle whose period is that of the
states, with a reward for every state, so that it acts and adapts all the time. All of them have the real-time priority
of a robot's nodes where this user may have it (docs/hardware.md); `--realtime-priority 0` measures without.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pitaya_msgs.action import Adapt
from pitaya_msgs.msg import JointCommand, StampedReward
from pitaya_msgs.srv import ResetPlant
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.node import Node
from sensor_msgs.msg import JointState

from benchmarks.fast_bundle import with_period
from benchmarks.priority import add_option
from benchmarks.report import write_report
from meta_rl_core.bundle import load_bundle
from pitaya_nodes import convert, qos
from pitaya_nodes.adapt_client import ros_context
from pitaya_nodes.bringup import NodeSpec
from pitaya_nodes.direct_executor import DirectExecutor
from pitaya_nodes.domain import ReservedDomain
from pitaya_nodes.processes import Child, ProcessGroup
from pitaya_nodes.realtime import take_priority

RATE_HZ = 100.0
PATIENCE_S = 60.0
SETTLE_S = 1.0
_PERIOD_NS = round(1e9 / RATE_HZ)
_POLICY, _BARE = "policy", "bare"
_TOPICS = {_POLICY: ("joint_states", "executed_command"), _BARE: ("bare/states", "bare/executed")}


@dataclass(frozen=True)
class Setting:
    """How much is measured: `blocks` blocks of `block_messages` messages through each of the two chains.

    Attributes:
        blocks: Number of blocks.
        block_messages: Messages per block.
        warm_up_messages: Messages that are not measured.
        journal: Whether the policy node keeps its journal, as it does when brought up.
        realtime_priority: That of all processes of both chains under SCHED_FIFO; 0 for ordinary ones.
    """

    blocks: int = 32
    block_messages: int = 100
    warm_up_messages: int = 100
    journal: bool = True
    realtime_priority: int = 0


class Driver(Node):
    """Publishes states at a fixed rate, notes when the first command with the same stamp comes back.

    Attributes:
        sent: When each state left [ns], by chain and stamp.
        took: How long its command took [ns], by chain and stamp.
    """

    def __init__(self, context: Context, joints: Sequence[str]) -> None:
        """Opens all topics, as a plant of `joints` and as the reward node."""
        super().__init__("driver", context=context)
        self.sent: dict[str, dict[int, int]] = {_POLICY: {}, _BARE: {}}
        self.took: dict[str, dict[int, int]] = {_POLICY: {}, _BARE: {}}
        self._state = JointState(
            name=list(joints), position=[0.0] * len(joints), velocity=[0.0] * len(joints)
        )
        self._outlets = {
            chain: self.create_publisher(JointState, topics[0], qos.STATE)
            for chain, topics in _TOPICS.items()
        }
        for chain, (_, topic) in _TOPICS.items():
            self.create_subscription(JointCommand, topic, self._receiver(chain), qos.PAIRED)
        self._reward = self.create_publisher(StampedReward, "reward", qos.PAIRED)
        self.create_service(ResetPlant, "reset_plant", self._on_reset)
        self.adapt = ActionClient(self, Adapt, "policy_node/adapt")
        self._spinner = DirectExecutor(context=context)
        self._spinner.add_node(self)

    def publish(self, chain: str) -> None:
        """Sends one state into a chain."""
        now_ns = time.monotonic_ns()
        self._state.header.stamp = convert.time_message(now_ns)
        # Something must change, as on a robot, but no further than what the gate takes for a robot that follows.
        self._state.position = array("d", [1e-4 * (now_ns % 97)] * len(self._state.name))
        self.sent[chain][now_ns] = now_ns
        self._outlets[chain].publish(self._state)

    def run_block(self, chain: str, messages: int) -> None:
        """Sends states, each one period after the one before.

        On an absolute grid a driver that was held up would send the next state too early, and a policy whose period
        is that of the states rightly leaves out a state that comes before its time.
        """
        for _ in range(messages):
            self.spin_until(time.monotonic_ns() + _PERIOD_NS)
            self.publish(chain)
        self.spin_until(time.monotonic_ns() + 2 * _PERIOD_NS)

    def spin_until(self, end_ns: int) -> None:
        """Handles what comes until a time [ns] of the monotonic clock."""
        while (left_ns := end_ns - time.monotonic_ns()) > 0:
            self._spinner.spin_once(timeout_sec=left_ns * 1e-9)

    def wait_for(self, condition: Any) -> None:
        """Handles what comes until the condition holds."""
        end_s = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > end_s:
                raise TimeoutError(f"the nodes were not ready within {PATIENCE_S:g} s")
            self._spinner.spin_once(timeout_sec=0.05)

    def _receiver(self, chain: str) -> Any:
        sent, took = self.sent[chain], self.took[chain]

        def receive(message: JointCommand) -> None:
            now_ns = time.monotonic_ns()
            stamp = message.header.stamp
            stamp_ns = convert.stamp_ns(stamp)
            if stamp_ns in sent and stamp_ns not in took:
                took[stamp_ns] = now_ns - stamp_ns
            if chain == _POLICY:
                self._judge(stamp)

        return receive

    def _judge(self, stamp: Any) -> None:
        reward = StampedReward(reward=-1.0, sparse_reward=0.0, error=1.0)
        reward.header.stamp = stamp
        self._reward.publish(reward)

    def _on_reset(self, _: ResetPlant.Request, response: ResetPlant.Response) -> ResetPlant.Response:
        response.success = True
        response.stamp = convert.time_message(time.monotonic_ns())
        return response

    def show_first_state(self) -> None:
        """Sends a state together with its judgement, which the policy waits for before it moves anything."""
        self.publish(_POLICY)
        self._judge(self._state.header.stamp)


def measure(setting: Setting, bundle: Path) -> dict[str, Any]:
    """Runs both chains block by block; gives the fields of the report.

    Args:
        setting: How much is measured.
        bundle: A policy bundle; its period is replaced by that of the states.
    """
    domain = ReservedDomain()
    with tempfile.TemporaryDirectory() as folder:
        fast = with_period(bundle, Path(folder, "bundle"), 1.0 / RATE_HZ)
        environment = {"ROS_DOMAIN_ID": str(domain.number), "ROS_LOG_DIR": folder}
        try:
            with ProcessGroup(environment, Path(folder)) as group:
                _start(group, fast, str(Path(folder, "journal")) if setting.journal else "", setting)
                with ros_context(domain.number) as context:
                    driver = Driver(context, load_bundle(fast).robot.joint_names)
                    take_priority(setting.realtime_priority)
                    return _measure(setting, driver, group)
        finally:
            domain.close()


def _start(group: ProcessGroup, bundle: Path, journal: str, setting: Setting) -> None:
    # While one chain is measured the other one rests for longer than a robot may: nothing must count as late.
    common = {"bundle": str(bundle), "lock_step": True, "realtime_priority": setting.realtime_priority}
    managed = {"command_gate": common, "policy_node": {**common, "journal": journal}}
    for name, given in managed.items():
        group.start(NodeSpec(name, "pitaya_nodes", name, parameters=given))
    (states, executed), between = _TOPICS[_BARE], "bare/command"
    relays = {"bare_policy": ("state", states, between), "bare_gate": ("command", between, executed)}
    for name, arguments in relays.items():
        relay = [*arguments, str(setting.realtime_priority)]
        group.start_command(name, [sys.executable, "-m", "benchmarks.bare_relay", *relay])
    parameters = {"nodes": list(managed)}
    manager = group.start(
        NodeSpec("lifecycle_manager", "pitaya_nodes", "lifecycle_manager", parameters=parameters)
    )
    if manager.process.wait(PATIENCE_S) != 0:
        raise RuntimeError(f"the nodes did not become active: {manager.log_tail()}")


def _measure(setting: Setting, driver: Driver, group: ProcessGroup) -> dict[str, Any]:
    group.poll()  # the lifecycle manager has ended
    driver.wait_for(driver.adapt.server_is_ready)
    sent = driver.adapt.send_goal_async(
        Adapt.Goal(episodes=1, steps_per_episode=1_000_000, reset_belief=True)
    )
    driver.wait_for(sent.done)
    while not (driver.took[_POLICY] and driver.took[_BARE]):
        driver.show_first_state()
        driver.publish(_BARE)
        driver.spin_until(time.monotonic_ns() + _PERIOD_NS)
    for chain in (_POLICY, _BARE):
        driver.run_block(chain, setting.warm_up_messages)
    for chain in (_POLICY, _BARE):
        driver.sent[chain].clear()
        driver.took[chain].clear()
    used = {child.spec.name: _cpu_s(child) for child in group.children}
    for _ in range(setting.blocks):
        for chain in (_POLICY, _BARE):
            driver.run_block(chain, setting.block_messages)
    driver.spin_until(time.monotonic_ns() + round(SETTLE_S * 1e9))
    cpu = {child.spec.name: _cpu_s(child) - used[child.spec.name] for child in group.children}
    return summarize(driver, setting, cpu)


def summarize(driver: Driver, setting: Setting, cpu_s: dict[str, float]) -> dict[str, Any]:
    """The fields of the report."""
    ours, bare = (_milliseconds(driver.took[chain]) for chain in (_POLICY, _BARE))
    lost, bare_lost = (len(driver.sent[chain]) - len(driver.took[chain]) for chain in (_POLICY, _BARE))
    busy_s = setting.blocks * setting.block_messages / RATE_HZ
    return {
        "benchmark": "control_path",
        "journal": setting.journal,
        "realtime_priority": setting.realtime_priority,
        "rate_hz": RATE_HZ,
        "messages": len(driver.sent[_POLICY]),
        "blocks": setting.blocks,
        "median_ratio": round(float(np.median(ours) / np.median(bare)), 3),
        **_figures("", ours, lost),
        **_figures("reference_", bare, bare_lost),
        "cpu_share": {name: round(used / busy_s, 3) for name, used in cpu_s.items()},
    }


def _figures(prefix: str, took_ms: NDArray[np.float64], lost: int) -> dict[str, Any]:
    return {
        f"{prefix}median_ms": round(float(np.median(took_ms)), 4),
        f"{prefix}p99_ms": round(float(np.percentile(took_ms, 99)), 4),
        f"{prefix}max_ms": round(float(took_ms.max()), 4),
        f"{prefix}lost": lost,
    }


def _milliseconds(took: dict[int, int]) -> NDArray[np.float64]:
    return np.array(list(took.values()), dtype=np.float64) * 1e-6


def _cpu_s(child: Child) -> float:
    fields = Path(f"/proc/{child.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.control_path", description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the report; printed if absent")
    parser.add_argument("--bundle", type=Path, default=Path("policies/dclaw-turn"), help="policy bundle")
    parser.add_argument("--no-journal", action="store_true", help="without the policy node's journal")
    parser.add_argument("--blocks", type=int, default=Setting.blocks, help="blocks of 100 messages per chain")
    add_option(parser, "all processes of both chains")
    options = parser.parse_args(arguments)
    setting = Setting(
        blocks=options.blocks,
        journal=not options.no_journal,
        realtime_priority=options.realtime_priority,
    )
    results = measure(setting, options.bundle)
    write_report(options.json, results)
    keys = (
        "median_ratio",
        "median_ms",
        "reference_median_ms",
        "p99_ms",
        "reference_p99_ms",
        "lost",
        "messages",
    )
    print(", ".join(f"{key} {results[key]}" for key in keys))
    return 0


if __name__ == "__main__":
    sys.exit(main())
