# SPDX-License-Identifier: Apache-2.0
"""Topics whose two ends ask for what the other does not offer are named, over real DDS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import Bool

from pitaya_nodes import qos
from pitaya_nodes.fit import fit_line, misfits

RELIABLE, BEST_EFFORT, LATCHED = qos.COMMAND, qos.SENSOR, qos.LATCHED


@pytest.fixture
def pair(ros_domain_id: int) -> Iterator[tuple[Node, Node, Callable[[Callable[[], Any]], Any]]]:
    """A node, another one, and a wait for what they will know of each other."""
    context = Context()
    context.init(domain_id=ros_domain_id)
    mine, other = (Node(name, context=context) for name in ("mine", "other"))
    spinner = SingleThreadedExecutor(context=context)

    def until(condition: Callable[[], Any]) -> Any:
        for _ in range(1000):
            if value := condition():
                return value
            spinner.spin_once(timeout_sec=0.02)
        raise TimeoutError("not within 20 s")

    yield mine, other, until
    mine.destroy_node()
    other.destroy_node()
    context.try_shutdown()


def test_a_reader_that_asks_for_more_than_is_published_is_told_by_whom(pair: Any) -> None:
    mine, other, until = pair
    mine.create_subscription(Bool, "state", lambda _: None, RELIABLE)
    assert misfits(mine) == []
    other.create_publisher(Bool, "state", BEST_EFFORT)
    (said,) = until(lambda: misfits(mine))
    assert said.startswith(
        "/state is published by /other and no message passes: ERROR: Best effort publisher"
    )
    line = fit_line(mine)
    assert (line.level, line.message) == (b"\x02", said)


def test_a_writer_that_offers_less_than_is_asked_for_is_told_by_whom(pair: Any) -> None:
    mine, other, until = pair
    mine.create_publisher(Bool, "command", RELIABLE)
    other.create_subscription(Bool, "command", lambda _: None, LATCHED)
    (said,) = until(lambda: misfits(mine))
    assert said.startswith("/command is read by /other and no message passes: ")
    assert "durability" in said.lower() or "transient local" in said.lower()


def test_two_readers_of_one_topic_fit_whoever_fits_one_of_them(pair: Any) -> None:
    mine, other, until = pair
    heard = []
    mine.create_subscription(Bool, "stop", heard.append, RELIABLE)
    reader = mine.create_subscription(Bool, "stop", heard.append, BEST_EFFORT)
    other.create_publisher(Bool, "stop", BEST_EFFORT)
    until(lambda: mine.count_publishers("stop") == 1 and reader.get_publisher_count() == 1)
    assert misfits(mine) == []


def test_it_ends_when_the_other_one_leaves(pair: Any) -> None:
    mine, other, until = pair
    mine.create_subscription(Bool, "state", lambda _: None, RELIABLE)
    publisher = other.create_publisher(Bool, "state", BEST_EFFORT)
    until(lambda: misfits(mine))
    other.destroy_publisher(publisher)
    until(lambda: not misfits(mine))
