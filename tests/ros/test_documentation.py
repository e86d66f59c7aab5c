# SPDX-License-Identifier: Apache-2.0
"""docs/ros_interface.md says what the nodes declare and open."""

from pathlib import Path

from pitaya_nodes.document_parameters import rewrite
from tests.ros.graph import HEARD


def test_the_parameter_tables_are_those_the_nodes_declare(repository: Path) -> None:
    page = (repository / "docs" / "ros_interface.md").read_text(encoding="utf-8")
    assert page == rewrite(page), "run: python -m pitaya_nodes.document_parameters docs/ros_interface.md"


def test_the_page_names_every_topic_with_its_type(repository: Path) -> None:
    page = (repository / "docs" / "ros_interface.md").read_text(encoding="utf-8")
    for topic, (kind, _) in HEARD.items():
        package = kind.__module__.partition(".")[0]
        assert f"| `{topic}` | `{package}/{kind.__name__}` |" in page
