# SPDX-License-Identifier: Apache-2.0
"""The executor of the control path does all that rclpy's does, in one thread, and loses nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pitaya_msgs.action import Adapt
from rclpy.action import ActionClient, ActionServer
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from pitaya_nodes import qos
from pitaya_nodes.adapt_client import ros_context
from pitaya_nodes.direct_executor import DirectExecutor
from pitaya_nodes.polled import Polled

PATIENCE_S = 10.0


class Pair:
    """Two nodes under one executor: `node`, whose entities are looked at, and `peer`, who speaks to it."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.node, self.peer = (Node(name, context=context) for name in ("node", "peer"))
        self.executor = DirectExecutor(context=context)
        for node in (self.node, self.peer):
            self.executor.add_node(node)

    def until(self, condition: Callable[[], bool]) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end_s, "it did not come"
            self.executor.spin_once(timeout_sec=0.05)

    def outlet(self, subscription: Any, topic: str = "numbers") -> Callable[[float], None]:
        publisher = self.peer.create_publisher(Float64MultiArray, topic, qos.COMMAND)
        self.until(lambda: publisher.get_subscription_count() > 0 and subscription.get_publisher_count() > 0)
        return lambda number: publisher.publish(Float64MultiArray(data=[number]))


@pytest.fixture
def pair(ros_domain_id: int) -> Iterator[Pair]:
    with ros_context(ros_domain_id) as context:
        made = Pair(context)
        yield made
        made.executor.shutdown()


def hear(pair: Pair, callback: Callable[[float], None], **options: Any) -> Any:
    return pair.node.create_subscription(
        Float64MultiArray, "numbers", lambda message: callback(message.data[0]), qos.COMMAND, **options
    )


def test_every_message_is_handed_over_once_and_in_order(pair: Pair) -> None:
    heard: list[float] = []
    say = pair.outlet(hear(pair, heard.append))
    for number in range(300):
        say(float(number))
        pair.until(lambda: len(heard) > number)  # noqa: B023
    assert heard == [float(number) for number in range(300)]


def test_messages_and_timers_go_on_while_a_callback_awaits(pair: Pair) -> None:
    answer: Future = Future(executor=pair.executor)
    heard: list[float] = []
    done: list[bool] = []

    async def execute(handle: Any) -> Adapt.Result:
        await answer
        handle.succeed()
        return Adapt.Result()

    rung: list[int] = []
    ActionServer(pair.node, Adapt, "adapt", execute)
    client = ActionClient(pair.peer, Adapt, "adapt")
    pair.until(client.server_is_ready)
    accepted = client.send_goal_async(Adapt.Goal(episodes=1))
    pair.until(accepted.done)
    result = accepted.result().get_result_async()
    result.add_done_callback(lambda _: done.append(True))
    say = pair.outlet(hear(pair, heard.append))
    pair.node.create_timer(0.01, lambda: rung.append(1))
    say(1.0)
    pair.until(lambda: bool(heard) and len(rung) > 3)
    assert not done
    answer.set_result(None)
    pair.until(lambda: bool(done))


def test_a_callback_may_await_what_another_service_answers(pair: Pair) -> None:
    inner = pair.peer.create_client(Trigger, "inner")
    pair.peer.create_service(Trigger, "inner", lambda _, response: _answered(response, "inner"))

    async def relay(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        told = await inner.call_async(Trigger.Request())
        return _answered(response, f"outer of {told.message}")

    pair.node.create_service(Trigger, "outer", relay)
    outer = pair.peer.create_client(Trigger, "outer")
    pair.until(lambda: inner.service_is_ready() and outer.service_is_ready())
    asked = outer.call_async(Trigger.Request())
    pair.until(asked.done)
    assert asked.result().message == "outer of inner"


def _answered(response: Trigger.Response, message: str) -> Trigger.Response:
    response.message = message
    return response


def test_callbacks_that_are_coroutines_are_awaited(pair: Pair) -> None:
    heard: list[float] = []
    rung: list[int] = []

    async def listen(message: Float64MultiArray) -> None:
        heard.append(message.data[0])

    async def ring() -> None:
        rung.append(1)

    say = pair.outlet(pair.node.create_subscription(Float64MultiArray, "numbers", listen, qos.COMMAND))
    pair.node.create_timer(0.01, ring)
    say(4.0)
    pair.until(lambda: heard == [4.0] and len(rung) > 2)


def test_entities_may_come_and_go_in_callbacks(pair: Pair) -> None:
    heard: list[float] = []
    timers: list[Any] = []

    def once(number: float) -> None:
        heard.append(number)
        pair.node.destroy_subscription(first)
        timers.append(pair.node.create_timer(0.005, end))

    def end() -> None:
        heard.append(-1.0)
        pair.node.destroy_timer(timers.pop())

    first = hear(pair, once)
    say = pair.outlet(first)
    say(1.0)
    pair.until(lambda: heard == [1.0, -1.0])
    second = hear(pair, heard.append)
    pair.until(lambda: second.get_publisher_count() > 0)
    say(2.0)
    say(3.0)
    pair.until(lambda: len(heard) > 2)
    assert heard[:2] == [1.0, -1.0]
    assert not timers


def test_a_cancelled_timer_rests_until_it_is_started_again(pair: Pair) -> None:
    rung: list[int] = []
    timer = pair.node.create_timer(0.002, lambda: rung.append(1))
    pair.until(lambda: len(rung) == 2)
    timer.cancel()
    for _ in range(5):
        pair.executor.spin_once(timeout_sec=0.01)
    assert len(rung) == 2
    timer.reset()
    pair.until(lambda: len(rung) > 2)


def test_a_guard_condition_calls_back_once_for_each_trigger(pair: Pair) -> None:
    called: list[int] = []
    guard = pair.node.create_guard_condition(lambda: called.append(1))
    for expected in (1, 2):
        guard.trigger()
        pair.until(lambda: len(called) == expected)  # noqa: B023
    for _ in range(5):
        pair.executor.spin_once(timeout_sec=0.01)
    assert len(called) == 2


def test_what_is_read_by_hand_neither_wakes_nor_empties(pair: Pair) -> None:
    polled = Polled(pair.node, Float64MultiArray, "numbers", qos.COMMAND)
    say = pair.outlet(polled._subscription)
    say(7.0)
    fetched: list[float] = []

    def look() -> bool:
        fetched.extend(message.data[0] for message in polled.fetch())
        return bool(fetched)

    pair.until(look)
    assert fetched == [7.0]


def test_an_error_in_a_callback_comes_out_of_the_executor_which_then_goes_on(pair: Pair) -> None:
    heard: list[float] = []

    def refuse_first(number: float) -> None:
        if number == 1.0:
            raise ValueError("not this one")
        heard.append(number)

    say = pair.outlet(hear(pair, refuse_first))
    say(1.0)
    with pytest.raises(ValueError, match="not this one"):
        pair.until(lambda: False)
    say(2.0)
    pair.until(lambda: heard == [2.0])


def test_waiting_ends_with_its_time_out(pair: Pair) -> None:
    for _ in range(10):
        pair.executor.spin_once(timeout_sec=0.0)
    began_s = time.monotonic()
    pair.executor.spin_once(timeout_sec=0.05)
    assert time.monotonic() - began_s < PATIENCE_S


@pytest.mark.parametrize("end", ["context", "executor"])
def test_a_shutdown_from_elsewhere_ends_a_spin_that_waits_for_nothing(ros_domain_id: int, end: str) -> None:
    with ros_context(ros_domain_id) as context:
        executor = DirectExecutor(context=context)
        executor.add_node(Node("alone", context=context))
        stop = context.shutdown if end == "context" else lambda: executor.shutdown(timeout_sec=0)
        timer = threading.Timer(0.2, stop)
        timer.start()
        try:
            executor.spin()
        except ExternalShutdownException:
            assert end == "context"
        timer.join()
