# SPDX-License-Identifier: Apache-2.0
"""What stops a driver and what lets it go on: words on topics and services, over real DDS within one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pitaya_msgs.msg import GateStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from pitaya_nodes import qos
from pitaya_nodes.emergency_stop import EmergencyStop

BY_TOPIC = "emergency stop on topic /emergency_stop"
PATIENCE_S = 20.0


class Driver(Node):
    """Stands where `dynamixel_node` does, and notes what it is told."""

    def __init__(self, context: Context) -> None:
        super().__init__("driver", context=context)
        self.told: list[str] = []
        self.stop = EmergencyStop(self, self.told.append, lambda: self.told.append("go on"))


class World:
    """A driver, and somebody else with a stop button, who can be a command gate too."""

    def __init__(self, domain: int, button: QoSProfile = qos.SENSOR) -> None:
        self.readers = 1 if button is qos.SENSOR else 2
        self.context = Context()
        self.context.init(domain_id=domain)
        self.person = Node("person", context=self.context)
        self.button = self.person.create_publisher(Bool, "emergency_stop", button)
        self.clear = self.person.create_client(Trigger, "driver/clear")
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.person)
        self.gate: Any = None

    def driver(self) -> Driver:
        made = Driver(self.context)
        self.executor.add_node(made)
        # A best-effort button reaches one of the driver's two readers, a reliable one both.
        self.until(lambda: self.button.get_subscription_count() == self.readers)
        self.until(self.clear.service_is_ready)
        return made

    def start_gate(self, driver: Driver | None = None) -> None:
        if self.gate is not None:
            self.person.destroy_publisher(self.gate)
        self.gate = self.person.create_publisher(GateStatus, "command_gate/status", qos.LATCHED)
        self.say(GateStatus.INACTIVE, "not configured")
        if driver is not None:
            self.until(lambda: self.gate.get_subscription_count() == 1)
            self.spin(0.2)

    def say(self, mode: int, reason: str = "because") -> None:
        self.gate.publish(GateStatus(mode=mode, reason=reason))

    def ask(self) -> Trigger.Response:
        future = self.clear.call_async(Trigger.Request())
        self.until(future.done)
        return future.result()

    def spin(self, duration_s: float) -> None:
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            self.executor.spin_once(timeout_sec=0.01)

    def until(self, condition: Callable[[], Any]) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end_s, condition
            self.executor.spin_once(timeout_sec=0.01)

    def close(self) -> None:
        for node in list(self.executor.get_nodes()):
            node.destroy_node()
        self.executor.shutdown()
        self.context.try_shutdown()


@pytest.fixture
def world(ros_domain_id: int, request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(ros_domain_id, getattr(request, "param", qos.SENSOR))
    yield made
    made.close()


@pytest.mark.parametrize("world", [qos.SENSOR, qos.COMMAND], indirect=True, ids=["best_effort", "reliable"])
def test_true_stops_once_and_false_neither_stops_nor_lets_go_on(world: World) -> None:
    driver = world.driver()
    world.button.publish(Bool(data=False))
    world.spin(0.2)
    assert (driver.told, driver.stop.reason) == ([], "")
    for pressed in (True, True, False):
        world.button.publish(Bool(data=pressed))
    world.until(lambda: driver.told)
    world.spin(0.2)
    assert driver.told == [driver.stop.reason]
    assert driver.stop.reason == (
        f"{BY_TOPIC}; /command_gate/clear ends it, or /driver/clear where no gate was stopped"
    )


def test_a_gate_that_is_cleared_lets_the_driver_go_on_with_the_same_act(world: World) -> None:
    driver = world.driver()
    world.start_gate(driver)
    world.say(GateStatus.ACTIVE)
    world.button.publish(Bool(data=True))
    world.until(lambda: driver.stop.reason)
    world.say(GateStatus.STOPPED, BY_TOPIC)
    world.spin(0.2)
    assert len(driver.told) == 1
    refused = world.ask()
    assert not refused.success
    assert "the command gate is stopped too: /command_gate/clear ends both" in refused.message
    world.say(GateStatus.READY)
    world.until(lambda: not driver.stop.reason)
    assert driver.told[1:] == ["go on"]


def test_a_gate_that_never_heard_of_the_stop_ends_none(world: World) -> None:
    driver = world.driver()
    world.start_gate(driver)
    world.button.publish(Bool(data=True))
    world.until(lambda: driver.stop.reason)
    for mode in (GateStatus.READY, GateStatus.ACTIVE, GateStatus.HOLD, GateStatus.READY):
        world.say(mode)
    world.spin(0.3)
    assert driver.stop.reason.startswith(BY_TOPIC)
    assert world.ask().success
    assert driver.told[1:] == ["go on"]


def test_a_gate_that_was_started_anew_ends_none_and_a_person_does(world: World) -> None:
    driver = world.driver()
    world.start_gate(driver)
    world.say(GateStatus.STOPPED)
    world.until(lambda: driver.stop.reason)
    world.start_gate(driver)
    world.say(GateStatus.READY)
    world.spin(0.3)
    assert driver.stop.reason.startswith("the command gate is stopped: because")
    assert world.ask().success
    assert driver.stop.reason == ""


def test_a_driver_that_comes_later_hears_that_the_gate_is_stopped(world: World) -> None:
    world.start_gate()
    world.say(GateStatus.STOPPED, BY_TOPIC)
    driver = world.driver()
    world.until(lambda: driver.told)
    assert driver.stop.reason.startswith(f"the command gate is stopped: {BY_TOPIC}")
    world.say(GateStatus.INACTIVE, "not active")
    world.until(lambda: driver.told[1:] == ["go on"])


def test_what_has_come_is_taken_without_the_executor_too(world: World) -> None:
    driver = world.driver()
    world.executor.remove_node(driver)
    world.button.publish(Bool(data=True))

    def looked() -> bool:
        driver.stop.look()
        return bool(driver.told)

    world.until(looked)
    assert driver.stop.reason.startswith(BY_TOPIC)
    world.executor.add_node(driver)
