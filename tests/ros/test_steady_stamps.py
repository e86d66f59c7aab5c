# SPDX-License-Identifier: Apache-2.0
"""A driver's stamps go on evenly whatever is done to the wall clock."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

pytest.importorskip("dynamixel_sdk")

from lifecycle_msgs.msg import Transition
from sensor_msgs.msg import JointState

from pitaya_nodes import convert, qos
from pitaya_nodes.bringup import NodeSpec
from pitaya_nodes.processes import ProcessGroup
from pitaya_nodes.steady_stamps import SteadyStamps
from tests.faults.wall_clock import WallClock
from tests.ros.graph import Graph
from tests.ros.test_dynamixel import Hand, hand

__all__ = ["hand"]
HOUR_S = 3600.0
BEGUN_NS = 1_800_000_000_000_000_000
PERIOD_S = 0.01


def test_stamps_are_ros_time_at_the_beginning_and_then_as_even_as_the_steady_clock() -> None:
    stamps = SteadyStamps()
    stamps.begin(5000.0, BEGUN_NS)
    told = [stamps.stamp_ns(5000.0 + PERIOD_S * cycle) for cycle in range(300)]
    assert told[0] == BEGUN_NS
    assert {later - earlier for earlier, later in pairwise(told)} == {10_000_000}


@pytest.mark.parametrize("jump_s", [-HOUR_S, HOUR_S])
def test_stamps_never_go_back_where_they_are_begun_anew_under_another_clock(jump_s: float) -> None:
    stamps = SteadyStamps()
    stamps.begin(5000.0, BEGUN_NS)
    before_ns = stamps.stamp_ns(5001.0)
    stamps.begin(5002.0, BEGUN_NS + round((2.0 + jump_s) * 1e9))
    # A clock that was set back is not followed; one that was set forward is, from here on.
    ahead_s = (stamps.stamp_ns(5002.0) - before_ns) * 1e-9
    assert ahead_s == pytest.approx(1.0 if jump_s < 0.0 else 1.0 + HOUR_S)


@pytest.mark.skipif(
    shutil.which("cc") is None, reason="the wall clock of a process is set by a compiled library"
)
def test_a_driver_under_a_wall_clock_set_an_hour_back_and_two_forward_goes_on_telling_evenly(
    graph: Graph, hand: Hand, patient_robot: Path, tmp_path: Path
) -> None:
    clock, probe = WallClock(tmp_path), graph.probe
    told: list[tuple[float, float]] = []

    def take(state: JointState) -> None:
        told.append((time.monotonic(), convert.stamp_ns(state.header.stamp) * 1e-9))

    probe.create_subscription(JointState, "joint_states", take, qos.EVERY_STATE)
    domain = str(probe.context.get_domain_id())
    environment = {"ROS_DOMAIN_ID": domain, "ROS_LOG_DIR": str(tmp_path), **clock.environment}
    with ProcessGroup(environment, tmp_path) as processes:
        parameters = {"port": str(hand.link), "robot": str(patient_robot)}
        processes.start(NodeSpec("dynamixel_node", "pitaya_nodes", "dynamixel_node", parameters=parameters))
        assert probe.change("dynamixel_node", Transition.TRANSITION_CONFIGURE)
        assert probe.change("dynamixel_node", Transition.TRANSITION_ACTIVATE)
        for shift_s in (0.0, -HOUR_S, HOUR_S):
            clock.set(shift_s)
            probe.until(more(told, 60))
            probe.until(lambda shift_s=shift_s: abs(wall_shift_s(graph) - shift_s) < 60.0)
    steps_s = [later[1] - earlier[1] for earlier, later in pairwise(told)]
    assert len(told) >= 180
    assert min(steps_s) > 0.001  # it was 1 ns for an hour
    assert median(steps_s) == pytest.approx(0.02, abs=0.005)
    # By the clock of whoever hears them they are no more than late, be it by a busy machine.
    offsets_s = [heard_s - stamp_s for heard_s, stamp_s in told]
    assert max(offsets_s) - min(offsets_s) < 1.0


def more(told: list[tuple[float, float]], count: int) -> Callable[[], bool]:
    wanted = len(told) + count
    return lambda: len(told) >= wanted


def wall_shift_s(graph: Graph) -> float:
    """How far the wall clock of the driver's latest report is from this process's [s]."""
    for array in reversed(graph.probe.heard["/diagnostics"]):
        if array.status[0].hardware_id == "/dynamixel_node":
            return convert.stamp_ns(array.header.stamp) * 1e-9 - time.time()
    return float("inf")
