# SPDX-License-Identifier: Apache-2.0
"""Starts the simulated bring-up and an emulated hand, writes down what each node opens as security policy.

python -m pitaya_nodes.observe_endpoints config/security/pitaya.policy.xml
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from pitaya_nodes.adapt_client import AdaptClient, ros_context
from pitaya_nodes.bringup import MANAGER, NodeSpec, find_bringup, manager_of
from pitaya_nodes.domain import ReservedDomain
from pitaya_nodes.errors import BringUpError
from pitaya_nodes.interrupts import Interrupts
from pitaya_nodes.patient_call import call_until_answered
from pitaya_nodes.processes import ProcessGroup
from pitaya_nodes.security_policy import Endpoints, endpoints_of, united, write_policy

CLIENT, NOBODY, DRIVER = "adapt_client", "nobody", "dynamixel_node"
PATIENCE_S, QUIET_S = 60.0, 3.0
_EMULATE = "from meta_rl_core.cli.main import run; run()"
OTHERWISE = {
    "policy_node": Endpoints(subscribe=frozenset({"/goal", "/executed_command"})),
    "reward_node": Endpoints(subscribe=frozenset({"/goal"})),
}
"""Opened with a bundle that is told a goal, or beside a plant that does not tell which commands it carries out: neither
is observed."""


def observe_all(
    folder: Path,
    arguments: Mapping[str, str] | None = None,
    bring_up: str = "dclaw_sim",
    robot: str = "dclaw",
) -> dict[str, Endpoints]:
    """What each node may have open: in simulation, as a driver of `robot`, and `OTHERWISE`.

    Args:
        folder: An empty folder.
        arguments: As for `observe`.
        bring_up: As for `observe`.
        robot: As for `observe_driver`.

    Raises:
        BringUpError: If a node does not start.
    """
    simulated, emulated = folder / "simulated", folder / "emulated"
    simulated.mkdir()
    emulated.mkdir()
    return united(observe(simulated, arguments, bring_up), observe_driver(emulated, robot), OTHERWISE)


def observe(
    folder: Path, arguments: Mapping[str, str] | None = None, bring_up: str = "dclaw_sim"
) -> dict[str, Endpoints]:
    """What each node has open: those of the bring-up with its recorder, lifecycle manager and command-line client.

    Args:
        folder: An empty folder for logs, recording and journal.
        arguments: Further arguments of the bring-up file.
        bring_up: Its name or path.

    Raises:
        BringUpError: If a node does not start.
    """
    domain = ReservedDomain()
    environment = {"ROS_DOMAIN_ID": str(domain.number), "ROS_LOG_DIR": str(folder)}
    given = {"record": "true", "out": str(folder), "journal": str(folder / "journal"), **(arguments or {})}
    specs = find_bringup(bring_up).resolve(given)
    try:
        with ProcessGroup(environment, folder) as group, ros_context(domain.number) as context:
            for spec in specs:
                group.start(spec)
            if group.children[-1].process.wait(PATIENCE_S) != 0:
                raise BringUpError(f"the nodes did not become active: {group.children[-1].log_tail()}")
            # A manager that waits for a node which never comes can be looked at in peace.
            group.start(manager_of([NOBODY], ""))
            client = AdaptClient(context, Interrupts())
            names = [CLIENT, *(spec.name for spec in specs)]
            nodes = _wait_until_quiet(client, names)
            client.destroy_node()
    finally:
        domain.close()
    managed = next(spec.parameters["nodes"] for spec in specs if spec.name == MANAGER)
    return {**nodes, MANAGER: _managing(nodes[MANAGER], managed)}


def observe_driver(folder: Path, robot: str = "dclaw") -> dict[str, Endpoints]:
    """What the driver has open with the motors of `robot` emulated, and what a lifecycle manager asks of it.

    Raises:
        BringUpError: If emulator or driver does not start.
    """
    link, end_s = folder / "hand", time.monotonic() + PATIENCE_S
    domain = ReservedDomain()
    environment = {"ROS_DOMAIN_ID": str(domain.number), "ROS_LOG_DIR": str(folder)}
    try:
        with ProcessGroup(environment, folder) as group, ros_context(domain.number) as context:
            command = [sys.executable, "-c", _EMULATE, "emulate", robot, "--link", str(link)]
            emulator = group.start_command("emulator", command)
            while not link.exists():
                if emulator.process.poll() is not None or time.monotonic() > end_s:
                    raise BringUpError(f"the emulator does not start: {emulator.log_tail()}")
                time.sleep(0.05)
            parameters = {"port": str(link), "robot": robot}
            driver = group.start(NodeSpec(DRIVER, "pitaya_nodes", DRIVER, parameters=parameters))
            observer = AdaptClient(context, Interrupts())
            if not _configure(observer):
                raise BringUpError(f"the driver was not configured: {driver.log_tail()}")
            nodes = _wait_until_quiet(observer, [DRIVER])
            observer.destroy_node()
    finally:
        domain.close()
    return {**nodes, MANAGER: _managing(Endpoints(), [DRIVER])}


def _configure(observer: AdaptClient) -> bool:
    """Whether the driver could be configured; then it has everything open, and no motor has torque."""
    asked = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    answer = None

    def spin() -> None:
        observer.wait_for(lambda: False, 0.05)

    # An answer to a first call may get lost, and to configure twice is an error.
    for kind, name, request, resend_s in (
        (GetState, "get_state", GetState.Request(), 1.0),
        (ChangeState, "change_state", asked, PATIENCE_S),
    ):
        client = observer.create_client(kind, f"{DRIVER}/{name}")
        answer = call_until_answered(client, request, spin, PATIENCE_S, resend_s)
        observer.destroy_client(client)
    return answer is not None and bool(answer.success)


def _wait_until_quiet(observer: Node, names: list[str]) -> dict[str, Endpoints]:
    spinner = SingleThreadedExecutor(context=observer.context)
    spinner.add_node(observer)
    nodes: dict[str, Endpoints] = {}
    changed_s = started_s = time.monotonic()
    while time.monotonic() - changed_s < QUIET_S or any(not nodes[name].publish for name in names):
        if time.monotonic() - started_s > PATIENCE_S:
            raise BringUpError(f"not all of {', '.join(names)} were discovered within {PATIENCE_S:g} s")
        spinner.spin_once(timeout_sec=0.1)
        known = {name for name, _ in observer.get_node_names_and_namespaces()}
        seen = {name: endpoints_of(observer, name) if name in known else Endpoints() for name in names}
        if seen != nodes:
            nodes, changed_s = seen, time.monotonic()
    return nodes


def _managing(waiting: Endpoints, managed: list[str]) -> Endpoints:
    """The endpoints of a manager that has gone through all its nodes."""
    asked = {f"/{name}/{service}" for name in managed for service in ("change_state", "get_state")}
    return Endpoints(waiting.publish, waiting.subscribe, waiting.reply, frozenset(asked))


def main() -> int:
    """Entry point."""
    if len(sys.argv) != 2:
        print(f"usage: python -m {__spec__.name} FILE", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        policy = write_policy(observe_all(Path(folder)))
    Path(sys.argv[1]).write_text(policy, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
