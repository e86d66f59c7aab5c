# SPDX-License-Identifier: Apache-2.0
"""What all managed nodes share: refusals with a reason, release of what configure made, a clean end."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from collections.abc import Callable, Iterable
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.exceptions import InvalidParameterValueException
from rclpy.executors import ExternalShutdownException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions, uninstall_signal_handlers

from meta_rl_core.errors import PitayaError
from pitaya_nodes.diagnostics import Diagnostics
from pitaya_nodes.direct_executor import DirectExecutor
from pitaya_nodes.fit import fit_line
from pitaya_nodes.parameters import Setting, declare_settings
from pitaya_nodes.polled import Polled
from pitaya_nodes.realtime import REALTIME_PRIORITY, keep_awake, take_priority
from pitaya_nodes.security import check_security

# Misfits are looked for once a second (fit.py); a handler here is one more thing to look at for every message.
_NO_EVENTS = PublisherEventCallbacks(use_default_callbacks=False)
_NOTHING_HEARD = SubscriptionEventCallbacks(use_default_callbacks=False)
_STEADY = Clock(clock_type=ClockType.STEADY_TIME)
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


def at_most_every(duration_s: float) -> dict[str, Any]:
    """Keywords of a log call that is to say something no more often than that [s].

    rclpy asks the wall clock by default: set back by an hour, it would silence the line for that hour.
    """
    return {"throttle_duration_sec": duration_s, "throttle_time_source_type": _STEADY}


class ManagedNode(LifecycleNode):
    """A lifecycle node whose steps refuse by raising `PitayaError`.

    Subclasses implement `configure`, `activate`, `deactivate` and `release`. A refused transition fails, the
    node stays in the state it was in, and the reason is logged as an error.

    Attributes:
        active: Whether callbacks may act on what they hear.
        diagnostics: The node's part of /diagnostics.
    """

    def __init__(self, name: str, settings: Iterable[Setting]) -> None:
        """Declares the parameters.

        Args:
            name: Default node name.
            settings: Parameters of the node.
        """
        super().__init__(name)
        declare_settings(self, settings)
        self.active = False
        self.diagnostics = Diagnostics(self)
        self.diagnostics.add(lambda: fit_line(self))
        self._made: list[Callable[[], object]] = []

    def create_subscription(self, *arguments: Any, **options: Any) -> Any:
        """A subscription that wakes up for messages alone."""
        options.setdefault("event_callbacks", _NOTHING_HEARD)
        return super().create_subscription(*arguments, **options)

    def create_publisher(self, *arguments: Any, **options: Any) -> Any:
        """A publisher that wakes up for nothing."""
        options.setdefault("event_callbacks", _NO_EVENTS)
        return super().create_publisher(*arguments, **options)

    def value(self, name: str) -> Any:
        """The present value of a parameter, None where it has none."""
        return self.get_parameter_or(name).value

    def configure(self) -> None:
        """Loads and checks all that activation needs, and makes publishers, subscriptions and services."""

    def activate(self) -> None:
        """Permits to act."""

    def deactivate(self) -> None:
        """Stops acting."""

    def release(self) -> None:
        """Forgets what `configure` loaded; what it made is destroyed by this class."""

    def refused(self, transition: str, reason: str) -> None:
        """Reports a refused transition."""
        self.get_logger().error(f"{transition} refused: {reason}")

    def made(self, entity: Any, destroy: Callable[[Any], object]) -> Any:
        """Remembers how to destroy an entity made by `configure`, and gives it back."""
        self._made.append(lambda: destroy(entity))
        return entity

    def listen(
        self, kind: type, topic: str, callback: Callable[[Any], None], qos: Any, *, raw: bool = False
    ) -> None:
        """A subscription that lives from configure to cleanup; with `raw` messages stay serialized."""
        made = self.create_subscription(kind, topic, callback, qos, raw=raw)
        self.made(made, self.destroy_subscription)

    def polled(self, made: Polled) -> Any:
        """A subscription read by hand that lives from configure to cleanup."""
        return self.made(made, lambda polled: polled.destroy())

    def serve(self, kind: type, name: str, callback: Callable[[Any, Any], Any]) -> None:
        """A service that lives from configure to cleanup."""
        self.made(self.create_service(kind, name, callback), self.destroy_service)

    def outlet(self, kind: type, topic: str, qos: Any) -> Any:
        """A lifecycle publisher, silent unless the node is active, that lives from configure to cleanup."""
        publisher = self.create_lifecycle_publisher(kind, topic, qos, event_callbacks=_NO_EVENTS)
        return self.made(publisher, self.destroy_lifecycle_publisher)

    def speaker(self, kind: type, topic: str, qos: Any) -> Any:
        """A publisher that speaks in every state, living from configure to cleanup."""
        publisher = self.create_publisher(kind, topic, qos, event_callbacks=_NO_EVENTS)
        return self.made(publisher, self.destroy_publisher)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Configures, or refuses and releases what was made so far."""
        try:
            if self.has_parameter(REALTIME_PRIORITY.name):
                self._go_ahead_of_others(int(self.value(REALTIME_PRIORITY.name)))
            self.configure()
        except PitayaError as error:
            self._release_all()
            self.refused("configure", str(error))
            return FAILURE
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Activates, or refuses."""
        result = super().on_activate(state)
        try:
            self.activate()
        except PitayaError as error:
            super().on_deactivate(state)
            self.refused("activate", str(error))
            return FAILURE
        self.active = True
        # What lives on is taken out of the garbage collector's sight: going through it delays a command.
        gc.collect()
        gc.freeze()
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivates; a last safe command may still leave before the publishers fall silent."""
        self.active = False
        self.deactivate()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Releases everything that configure made."""
        result = super().on_cleanup(state)
        self._release_all()
        return result

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stops and releases, whatever the state."""
        if self.active:
            self.active = False
            self.deactivate()
        result = super().on_shutdown(state)
        self._release_all()
        return result

    def _go_ahead_of_others(self, priority: int) -> None:
        take_priority(priority)
        let_sleep, complaint = keep_awake(priority)
        self._made.append(let_sleep)
        if complaint:
            self.get_logger().warning(complaint)

    def _release_all(self) -> None:
        self.release()
        while self._made:
            self._made.pop()()


def run(make_node: Callable[[], Node], args: list[str] | None = None) -> int:
    """Runs one node until SIGINT, SIGTERM or its own end; gives the exit status.

    Args:
        make_node: Makes the node; called after rclpy has started.
        args: Command line, by default that of the process.
    """
    try:
        check_security(os.environ)
    except PitayaError as error:
        rclpy.logging.get_logger("pitaya").fatal(str(error))
        return 2
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.ALL)
    node: Node | None = None
    executor: DirectExecutor | None = None
    try:
        node = make_node()
        executor = DirectExecutor()
        _spin(node, executor)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (InvalidParameterValueException, PitayaError) as error:
        (node.get_logger() if node else rclpy.logging.get_logger("pitaya")).fatal(str(error))
        return 2
    finally:
        _ignore_interrupts()
        if node is not None:
            node.destroy_node()
        shut_down()
        del executor
    return 0


def shut_down() -> None:
    """Ends rclpy and waits for the thread in which it handles signals; let go of executors only after that.

    On a signal that thread wakes every executor through a guard condition, while Python raises KeyboardInterrupt in
    the main thread: an executor that is gone by then is memory that is no more, and the process ends with SIGSEGV.
    """
    rclpy.try_shutdown()
    uninstall_signal_handlers()


def _ignore_interrupts() -> None:
    """From here on nothing cuts the node's end short, in which motors lose torque.

    One signal may arrive twice: rclpy's handler ends the executor, and calls Python's, which raises a moment later.
    """
    for _ in range(2):
        with contextlib.suppress(KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _spin(node: Node, executor: DirectExecutor) -> None:
    executor.add_node(node)
    while True:
        try:
            executor.spin()
            return
        except rclpy_implementation.RCLError as error:
            # An illegal lifecycle request raises out of the service; it must not take the node down.
            node.get_logger().error(f"request refused by rcl: {error}")
