# SPDX-License-Identifier: Apache-2.0
"""Who else commands: a fault at once with a name, a hold while DDS has not told it, a fault if it never does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="these tests need ROS 2: run them with scripts/with_ros")

from pitaya_nodes.commanders import UNNAMED, Commanders

NAMED = "/intruder also publishes on /out: a robot takes one commander"
NAMELESS = f"/policy_node and {UNNAMED} all publish on /in: the gate listens to one"


class Scripted(Commanders):
    """Sees what it is told to see."""

    def __init__(self, *seen: str) -> None:
        nobody: Any = None
        super().__init__(nobody, ["/out"], ["/in"], "")
        self._seen = iter(seen)

    def second(self) -> str:
        return next(self._seen)


def look(commanders: Commanders, *, moving: bool = True) -> tuple[str, str]:
    """Why a person must look, and why nothing may move."""
    return commanders.look(moving, long=False), commanders.doubt


def test_who_has_a_name_is_a_fault_at_once() -> None:
    assert look(Scripted(NAMED))[0] == NAMED


def test_who_has_no_name_yet_makes_the_robot_hold_until_there_is_one() -> None:
    commanders = Scripted(NAMELESS, NAMELESS, "", NAMELESS, NAMELESS)
    assert look(commanders) == ("", NAMELESS)
    assert look(commanders) == ("", NAMELESS)
    # It was the policy node itself, which was killed and is back under its name.
    assert look(commanders) == ("", "")
    assert look(commanders) == ("", NAMELESS)
    assert look(commanders) == ("", NAMELESS)


def test_who_gets_a_name_of_its_own_is_a_fault_then() -> None:
    commanders = Scripted(NAMELESS, NAMED)
    assert look(commanders) == ("", NAMELESS)
    assert look(commanders)[0] == NAMED


def test_who_never_gets_a_name_is_a_fault_with_the_third_look() -> None:
    commanders = Scripted(NAMELESS, NAMELESS, NAMELESS)
    assert [look(commanders)[0] for _ in range(3)] == ["", "", NAMELESS]


def test_a_robot_at_rest_is_in_no_doubt() -> None:
    commanders = Scripted(NAMELESS)
    assert look(commanders, moving=False) == ("", "")


def test_the_graph_is_looked_at_after_twelve_watches_if_a_command_came_and_after_seventeen_in_any_case() -> (
    None
):
    commanders = Scripted("", "")
    waited = 0
    while not commanders.due(after_command=False):
        assert commanders.due(after_command=True) == (waited + 1 >= 12)
        waited += 1
    assert waited == 16
    look(commanders)
    assert not commanders.due(after_command=True)


class Graph:
    """A node's view of who reads the gate's commands, by the reader's identity; a name of None has not been told."""

    def __init__(self) -> None:
        self.readers: dict[int, str | None] = {}

    def get_namespace(self) -> str:
        return "/"

    def get_name(self) -> str:
        return "command_gate"

    def get_publishers_info_by_topic(self, _: str) -> list[Any]:
        return []

    def get_subscriptions_info_by_topic(self, _: str) -> list[Any]:
        return [
            SimpleNamespace(
                node_name=name or "_NODE_NAME_UNKNOWN_", node_namespace="/", endpoint_gid=[number] * 16
            )
            for number, name in self.readers.items()
        ]


def test_a_robot_that_dds_lost_and_found_again_without_its_name_is_still_the_robot() -> None:
    graph: Any = Graph()
    commanders = Commanders(graph, ["/out"], ["/in"], "driver")
    graph.readers = {1: "recorder", 2: "driver"}
    assert look(commanders) == ("", "")
    graph.readers = {1: "recorder"}
    gone = look(commanders)[1]
    assert "driver does not listen to /out" in gone
    graph.readers = {1: "recorder", 2: None}
    assert look(commanders) == ("", "")
    # Somebody whose name was never told may be anybody.
    graph.readers = {1: "recorder", 3: None}
    assert look(commanders) == ("", gone)
    assert look(commanders)[0] == gone
