# SPDX-License-Identifier: Apache-2.0
"""Log lines that are held back to one in a while go by a steady clock: a wall clock set back does not silence them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from rclpy.clock import ClockType
from rclpy.impl.rcutils_logger import Throttle

from pitaya_nodes.managed_node import at_most_every


def test_a_line_comes_again_after_its_time_by_a_clock_that_nobody_sets() -> None:
    keywords = at_most_every(0.05)
    assert keywords["throttle_time_source_type"].clock_type == ClockType.STEADY_TIME
    context: dict[str, object] = {}
    Throttle.initialize_context(context, **keywords)
    assert [Throttle.should_log(context) for _ in range(3)] == [True, False, False]
    now_ns = keywords["throttle_time_source_type"].now().nanoseconds
    while keywords["throttle_time_source_type"].now().nanoseconds < now_ns + 50_000_000:
        pass
    assert Throttle.should_log(context)


def test_no_node_holds_a_line_back_in_any_other_way(repository: Path) -> None:
    sources = sorted((repository / "ros_ws" / "src").rglob("*.py"))
    assert sources
    for source in sources:
        for call in (
            node for node in ast.walk(ast.parse(source.read_text("utf-8"))) if isinstance(node, ast.Call)
        ):
            bare = [word.arg for word in call.keywords if word.arg and word.arg.startswith("throttle_")]
            if bare:
                pytest.fail(f"{source}:{call.lineno} holds a line back by {bare[0]}; use at_most_every")
