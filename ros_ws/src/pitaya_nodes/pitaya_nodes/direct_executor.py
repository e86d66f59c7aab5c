# SPDX-License-Identifier: Apache-2.0
"""A single-threaded executor that goes from message to callback the shortest way.

rclpy's own builds a wait set anew for every event, makes a task of every callback and wakes itself twice after each, so
that a node of twenty entities spends most of its time on looking at what it has. Here one wait set serves until some
come or go, and messages and timers call their callbacks directly. Everything else (services, clients, actions, tasks,
callbacks that await) is left to rclpy's executor, one step at a time, in the same thread. Entities must be destroyed in
that thread.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any

from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import (
    ExternalShutdownException,
    ShutdownException,
    SingleThreadedExecutor,
    TimeoutException,
)
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.subscription import Subscription

_NO_LIMIT_NS = -1


class DirectExecutor(SingleThreadedExecutor):
    """Runs the callbacks of its nodes in the thread that spins; see the module."""

    _tasks: list[Any]

    def __init__(self, *, context: Context | None = None) -> None:
        """As rclpy's."""
        super().__init__(context=context)
        self._watch: _Watch | None = None

    def wake(self) -> None:
        """Entities have come or gone, or a task waits: what is watched is put together anew."""
        self._watch = None
        super().wake()

    def add_node(self, node: Any) -> bool:
        """As rclpy's."""
        self._watch = None
        return super().add_node(node)

    def remove_node(self, node: Any) -> None:
        """As rclpy's."""
        self._watch = None
        super().remove_node(node)

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Waits for something to do and does it; for messages and timers everything that is ready by then.

        Args:
            timeout_sec: Longest wait [s]; without, or if negative, as long as it takes.

        Raises:
            ExternalShutdownException: If the context was shut down meanwhile.
        """
        if self._is_shutdown:
            return
        self._go_on()
        limit_ns = _NO_LIMIT_NS if timeout_sec is None or timeout_sec < 0 else round(timeout_sec * 1e9)
        watch = self._wait(limit_ns)
        if self._is_shutdown:
            return
        if not self._context.ok():
            raise ExternalShutdownException
        watch.call_ready()
        if watch.others_ready():
            self._do_others()
            # A callback that awaits keeps others of its group from being called.
            self._watch = None

    def _do_others(self) -> None:
        """Has rclpy's executor look and do what it finds, to the end: later its wait set would not be up to date."""
        self._cb_iter = None
        with contextlib.suppress(TimeoutException, ShutdownException):
            while True:
                task, *_ = self.wait_for_ready_callbacks(0)
                task()
                task.result()

    def _go_on(self) -> None:
        """Lets every callback that awaits something look whether it has come."""
        if not self._tasks:
            return
        with self._tasks_lock:
            begun = [task for task, *_ in self._tasks]
        for task in begun:
            if not task.done() and not task.executing():
                task()
                task.result()
        with self._tasks_lock:
            before = len(self._tasks)
            self._tasks = [entry for entry in self._tasks if not entry[0].done()]
            if len(self._tasks) != before:
                self._watch = None

    def _wait(self, limit_ns: int) -> _Watch:
        watch = self._watch = self._watch or _Watch(self)
        try:
            watch.wait(limit_ns)
        except Exception:
            # Whatever it was, what is watched may no longer be there.
            self._watch = None
            raise
        return watch


class _Watch:
    """One wait set and what stands in it, until entities come or go."""

    def __init__(self, executor: DirectExecutor) -> None:
        nodes = executor.get_nodes()
        # Who may be executed changes only with tasks that begin or end, and then this is made anew.
        kinds = ("subscriptions", "timers", "clients", "services", "waitables", "guards")
        self._subscriptions, self._timers, self._clients, self._services, self._waitables, self._guards = (
            [entity for node in nodes for entity in getattr(node, kind) if executor.can_execute(entity)]
            for kind in kinds
        )
        self._own_guards = [executor._guard, executor._sigint_gc]
        self._messages = {entity.handle.pointer: _reader(entity) for entity in self._subscriptions}
        self._alarms = {entity.handle.pointer: _alarm(entity) for entity in self._timers}
        self._set = self._make_set(executor)
        self._others = False

    def _make_set(self, executor: DirectExecutor) -> Any:
        counts = [len(self._subscriptions), len(self._guards) + len(self._own_guards), len(self._timers)]
        counts += [len(self._clients), len(self._services), 0]
        for waitable in self._waitables:
            more = waitable.get_num_entities()
            added = [more.num_subscriptions, more.num_guard_conditions, more.num_timers]
            added += [more.num_clients, more.num_services, more.num_events]
            counts = [count + extra for count, extra in zip(counts, added, strict=True)]
        return _rclpy.WaitSet(*counts, executor.context.handle)

    def wait(self, limit_ns: int) -> None:
        """Waits for the first event, at most `limit_ns` [ns] if that is not negative."""
        waiting = self._set
        waiting.clear_entities()
        for entity in self._subscriptions:
            waiting.add_subscription(entity.handle)
        for entity in self._clients:
            waiting.add_client(entity.handle)
        for entity in self._services:
            waiting.add_service(entity.handle)
        for entity in self._timers:
            waiting.add_timer(entity.handle)
        for guard in self._guards:
            if guard._executor_triggered:
                guard.trigger()
        for guard in (*self._guards, *self._own_guards):
            waiting.add_guard_condition(guard.handle)
        for waitable in self._waitables:
            waitable.add_to_wait_set(waiting)
        # Kept while they are waited on, for a shutdown in another thread ends the wait through them.
        with self._own_guards[0].handle, self._own_guards[1].handle:
            waiting.wait(limit_ns)

    def call_ready(self) -> None:
        """Calls back for every message and timer that the last wait found; messages first, since a robot waits."""
        self._others = False
        for kind, known in (("subscription", self._messages), ("timer", self._alarms)):
            for pointer in self._set.get_ready_entities(kind):
                call = known.get(pointer)
                if call is None:
                    self._others = True
                else:
                    call()

    def others_ready(self) -> bool:
        """Whether that wait found something for rclpy's executor to do."""
        waiting = self._set
        triggered = waiting.get_ready_entities("guard_condition")
        try:
            for guard in self._guards:
                # The wait has taken the trigger; rclpy's executor gives it again where it finds this mark.
                guard._executor_triggered |= guard.handle.pointer in triggered
            return (
                self._others
                or bool(triggered)
                or any(waiting.get_ready_entities(kind) for kind in ("service", "client"))
                or any(waitable.is_ready(waiting) for waitable in self._waitables)
            )
        except InvalidHandle:
            # A callback has destroyed one of them: rclpy's executor looks anew.
            return True


def _reader(subscription: Subscription) -> Callable[[], None] | None:
    """Takes one message and calls back; None where rclpy's executor must, since the callback awaits."""
    handle, callback = subscription.handle, subscription.callback
    if inspect.iscoroutinefunction(callback):
        return None
    kind, raw = subscription.msg_type, subscription.raw
    alone = subscription._callback_type is Subscription.CallbackType.MessageOnly

    def read() -> None:
        try:
            with handle:
                taken = handle.take_message(kind, raw)
        except InvalidHandle:
            return
        if taken is not None:
            callback(*taken[:1] if alone else taken)

    return read


def _alarm(timer: Any) -> Callable[[], None] | None:
    """Calls back if the timer is due; None where rclpy's executor must, since the callback awaits."""
    handle, callback = timer.handle, timer.callback
    if inspect.iscoroutinefunction(callback):
        return None

    def ring() -> None:
        try:
            with handle:
                if not handle.is_timer_ready():
                    return
                handle.call_timer()
        except InvalidHandle:
            return
        callback()

    return ring
