# SPDX-License-Identifier: Apache-2.0
"""What RViz is told to show exists: frames in the URDF, topics on the graph, files where they are installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from meta_rl_core.runtime.robot_file import load_robot
from pitaya_nodes.bringup import NodeSpec, find_bringup, share_directory
from pitaya_nodes.commands.up import _ended
from pitaya_nodes.errors import BringUpError
from pitaya_nodes.launching import describe
from pitaya_nodes.processes import ProcessGroup
from sim_bridge.dclaw.plant import DClawPlant
from tests.ros import launch_double
from tests.ros.graph import REPOSITORY

PUBLISHED = {"/robot_description", "/tf", "/tf_static"}
"""By robot_state_publisher, as its documentation says."""
BRING_UPS = ("dclaw_sim", "dclaw_robot")


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """The configuration as installed with the bring-up package."""
    text = (share_directory() / "config" / "rviz" / "dclaw.rviz").read_text(encoding="utf-8")
    return yaml.safe_load(text)["Visualization Manager"]


@pytest.fixture(scope="module")
def urdf() -> ElementTree.Element:
    return ElementTree.parse(share_directory() / "config" / "urdf" / "dclaw.urdf").getroot()


def named(value: Any, key: str) -> Iterator[Any]:
    """Everything that stands under a key, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from named(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from named(inner, key)


def test_every_frame_that_is_named_is_a_link_of_the_hand(
    shown: dict[str, Any], urdf: ElementTree.Element
) -> None:
    links = {link.attrib["name"] for link in urdf.findall("link")}
    frames = {shown["Global Options"]["Fixed Frame"]}
    for key in ("Reference Frame", "Target Frame"):
        frames |= set(named(shown, key))
    for listed in named(shown, "Frames"):
        frames |= set(listed) - {"All Enabled"}
    assert {"world", "valve", "ff_tip", "mf_tip", "th_tip"} <= frames
    assert frames <= links


def test_every_topic_that_is_named_is_published(shown: dict[str, Any]) -> None:
    topics = {
        inner["Value"]
        for display in shown["Displays"]
        for key, inner in display.items()
        if key.endswith("Topic") and isinstance(inner, dict)
    }
    assert topics == {"/robot_description"}
    assert topics <= PUBLISHED


def test_joint_states_of_simulated_and_real_hand_move_every_joint_that_can_move(
    urdf: ElementTree.Element,
) -> None:
    movable = {joint.attrib["name"] for joint in urdf.findall("joint") if joint.attrib["type"] != "fixed"}
    assert len(movable) == 10
    assert movable == set(DClawPlant.joint_names)
    assert movable == set(load_robot(REPOSITORY / "config" / "robots" / "dclaw.yaml").measured_names)


@pytest.mark.parametrize("name", BRING_UPS)
def test_rviz_and_what_it_needs_are_started_on_request_alone(name: str, tmp_path: Path) -> None:
    bring_up = find_bringup(name)
    plain = {spec.name for spec in bring_up.resolve({"bundle": str(tmp_path)})}
    specs = {spec.name: spec for spec in bring_up.resolve({"bundle": str(tmp_path), "rviz": "true"})}
    assert specs.keys() - plain == {"robot_state_publisher", "rviz2"}
    (urdf,), (option, shown) = specs["robot_state_publisher"].arguments, specs["rviz2"].arguments
    assert option == "-d"
    assert (Path(urdf).name, Path(shown).name) == ("dclaw.urdf", "dclaw.rviz")
    assert Path(urdf).is_file() and Path(shown).is_file()
    assert specs["rviz2"].parameters["use_sim_time"] is (name == "dclaw_sim")
    assert not {"rviz2", "robot_state_publisher"} & set(specs["lifecycle_manager"].parameters["nodes"])


@pytest.mark.parametrize("name", BRING_UPS)
def test_a_launch_file_starts_them_with_their_arguments(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, content in launch_double.modules().items():
        monkeypatch.setitem(sys.modules, module, content)
    *declared, opaque = describe(name).given[0]
    values = {item.given[0]: item.default_value for item in declared}
    values |= {"bundle": str(tmp_path), "rviz": "true"}
    actions = opaque.function(SimpleNamespace(launch_configurations=values), *opaque.args)
    nodes = {action.name: action for action in actions if type(action).__name__ == "Node"}
    assert nodes["rviz2"].package == "rviz2"
    assert nodes["rviz2"].arguments[0] == "-d"
    assert nodes["robot_state_publisher"].arguments[0].endswith("config/urdf/dclaw.urdf")


def test_closing_the_window_stops_nothing_and_a_missing_package_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    closed = SimpleNamespace(
        spec=NodeSpec("rviz2", "rviz2", "rviz2", spectator=True), process=SimpleNamespace(returncode=0)
    )
    group = ProcessGroup()
    assert _ended("dclaw_sim", group, closed, first=False) is False  # type: ignore[arg-type]
    assert "rviz2 ended with status 0; the others go on" in capsys.readouterr().err
    with pytest.raises(BringUpError, match="ROS package no_such_viewer is not on the path"):
        group.start(NodeSpec("viewer", "no_such_viewer", "viewer"))
