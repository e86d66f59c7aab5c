# SPDX-License-Identifier: Apache-2.0
"""Fixtures of tests that start real nodes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="these tests start ROS nodes: run them with scripts/with_ros")

from tests.helpers.bundles import make_random_bundle
from tests.ros.graph import Graph


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A D'Claw policy with random weights."""
    return make_random_bundle(tmp_path_factory.mktemp("bundle") / "dclaw-turn").path


@pytest.fixture
def graph(ros_domain_id: int, tmp_path: Path) -> Iterator[Graph]:
    """Nodes of this test alone, none of them started."""
    made = Graph(ros_domain_id, tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def module_graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    """Nodes shared by the tests of a module, none of them started."""
    from pitaya_nodes.domain import ReservedDomain

    domain = ReservedDomain()
    made = Graph(domain.number, tmp_path_factory.mktemp("graph"))
    yield made
    made.close()
    domain.close()


@pytest.fixture(scope="session")
def patient_robot(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The D'Claw with the patience that a loaded machine needs: 50 states a second, seconds of silence."""
    import yaml

    from meta_rl_core.runtime.robot_file import load_robot

    content = yaml.safe_load((repository / "config" / "robots" / "dclaw.yaml").read_text(encoding="utf-8"))
    content["rates"]["state_hz"] = 50.0
    content["watchdogs"] |= {"servo_s": 0.4, "bus_silence_s": 2.0, "command_silence_s": 2.5, "fault_s": 5.0}
    content["watchdogs"]["state_age_s"] = 0.095
    path = tmp_path_factory.mktemp("robot") / "dclaw.yaml"
    path.write_text(yaml.safe_dump(content))
    assert load_robot(path).state_hz == 50.0
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real processes over real DDS on a loaded machine: one more try, which pytest reports as a rerun."""
    for item in items:
        if "tests/ros/" in str(item.path):
            item.add_marker(pytest.mark.flaky(reruns=2))
