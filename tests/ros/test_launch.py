# SPDX-License-Identifier: Apache-2.0
"""Launch files: their structure everywhere, and the real thing where launch_ros is installed."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pitaya_nodes.bringup import find_bringup
from pitaya_nodes.discovery import RANGE
from tests.ros import launch_double
from tests.ros.graph import BRING_UP, Probe


def describe(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The launch description, made with doubles of `launch` and `launch_ros`."""
    for name, module in launch_double.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    path = repository / "launch" / "dclaw_sim.launch.py"
    spec = importlib.util.spec_from_file_location("dclaw_sim_launch", path)
    assert spec is not None and spec.loader is not None
    launch_file = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(launch_file)
    return launch_file.generate_launch_description()


def test_the_launch_file_declares_what_the_bring_up_file_lists(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    description = describe(repository, monkeypatch)
    declared = {item.given[0]: item for item in description.given[0][:-1]}
    arguments = find_bringup(str(BRING_UP)).arguments
    assert list(declared) == list(arguments)
    for name, item in declared.items():
        assert item.description == arguments[name].description != ""
        assert isinstance(item.default_value, str)
    assert declared["mode"].choices == ["lock_step", "real_time"]
    assert declared["record"].default_value == "false"


def test_the_launch_file_starts_the_nodes_of_the_bring_up_file(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    description = describe(repository, monkeypatch)
    *declared, opaque = description.given[0]
    values = {item.given[0]: item.default_value for item in declared}
    values |= {"plant": "external", "bundle": "/b", "journal": "/j", "namespace": "left"}
    actions = opaque.function(SimpleNamespace(launch_configurations=values), *opaque.args)
    nodes = [action for action in actions if type(action).__name__ == "Node"]
    specs = find_bringup(str(BRING_UP)).resolve(values)
    assert [(node.name, node.executable, node.namespace) for node in nodes] == [
        (spec.name, spec.executable, "left") for spec in specs
    ]
    assert nodes[-2].parameters == [
        {
            "bundle": "/b",
            "journal": "/j",
            "lock_step": False,
            "acknowledged": False,
            "use_sim_time": False,
            "realtime_priority": 0,
        }
    ]


@pytest.mark.parametrize(("users", "added"), [(None, "LOCALHOST"), ("SUBNET", None)])
def test_launched_nodes_find_this_machine_alone_unless_the_user_sets_a_range(
    repository: Path, monkeypatch: pytest.MonkeyPatch, users: str | None, added: str | None
) -> None:
    if users is None:
        monkeypatch.delenv(RANGE, raising=False)
    else:
        monkeypatch.setenv(RANGE, users)
    *declared, opaque = describe(repository, monkeypatch).given[0]
    values = {item.given[0]: item.default_value for item in declared}
    actions = opaque.function(SimpleNamespace(launch_configurations=values), *opaque.args)
    nodes = [action for action in actions if type(action).__name__ == "Node"]
    assert {node.additional_env.get(RANGE) for node in nodes} == {added}


def test_the_launch_ends_when_the_nodes_cannot_be_activated_and_only_then(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    description = describe(repository, monkeypatch)
    *declared, opaque = description.given[0]
    values = {item.given[0]: item.default_value for item in declared}
    handler = opaque.function(SimpleNamespace(launch_configurations=values), *opaque.args)[-1].given[0]
    assert handler.target_action.name == "lifecycle_manager"
    assert handler.on_exit(SimpleNamespace(returncode=0), None) is None
    (event,) = handler.on_exit(SimpleNamespace(returncode=1), None)
    assert "could not be activated" in event.event.reason


def test_a_launched_policy_that_dies_is_started_and_activated_again_three_times(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    description = describe(repository, monkeypatch)
    *declared, opaque = description.given[0]
    values = {item.given[0]: item.default_value for item in declared} | {"namespace": "left"}
    actions = opaque.function(SimpleNamespace(launch_configurations=values), *opaque.args)
    handlers = [action.given[0] for action in actions if type(action).__name__ == "RegisterEventHandler"]
    (handler,) = [item for item in handlers if item.target_action.name == "policy_node"]
    assert handler.on_exit(None, SimpleNamespace(is_shutdown=True)) is None
    for _ in range(3):
        (timer,) = handler.on_exit(None, SimpleNamespace(is_shutdown=False))
        node, register, manager = timer.actions
        assert (node.name, node.namespace) == ("policy_node", "left")
        assert (manager.name, manager.parameters) == ("lifecycle_manager", [{"nodes": ["policy_node"]}])
        handler = register.given[0]
        assert handler.target_action is node
    (told,) = handler.on_exit(None, SimpleNamespace(is_shutdown=False))
    assert "policy_node died 4 times within 60 s and stays down" in told.msg


@pytest.mark.skipif(
    importlib.util.find_spec("launch_ros") is None or shutil.which("ros2") is None,
    reason="launch_ros and the ros2 command are not installed",
)
def test_ros2_launch_brings_the_graph_up(ros_domain_id: int, bundle: Path) -> None:
    command = ["ros2", "launch", "pitaya_bringup", "dclaw_sim.launch.py", f"bundle:={bundle}"]
    launch = subprocess.Popen(command, start_new_session=True)
    probe = Probe(ros_domain_id)
    try:
        outcome = probe.result(probe.send(steps_per_episode=5))
        assert outcome.result.accepted == 5
    finally:
        os.killpg(launch.pid, signal.SIGINT)
        launch.wait(60)
        probe.close()
