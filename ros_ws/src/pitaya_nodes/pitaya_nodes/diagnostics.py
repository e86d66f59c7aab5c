# SPDX-License-Identifier: Apache-2.0
"""Says once a second on /diagnostics how often each input came, how old it is and what was refused."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from pitaya_nodes.qos import REPORT

PERIOD_S = 1.0
Monotonic = Callable[[], float]


class InputMonitor:
    """Counts one input."""

    def __init__(self, name: str, monotonic: Monotonic = time.monotonic) -> None:
        """Starts at zero.

        Args:
            name: Topic or service the counts are about.
            monotonic: Clock [s] that never goes backwards.
        """
        self.name = name
        self.count = 0
        self.refused: Counter[str] = Counter()
        self.last_reason = ""
        self._monotonic = monotonic
        self._last_s: float | None = None
        self._reported = (monotonic(), 0)

    @property
    def refusals(self) -> int:
        """How many messages were not used."""
        return sum(self.refused.values())

    def came(self) -> None:
        """Notes a message."""
        self.count += 1
        self._last_s = self._monotonic()

    def refuse(self, kind: str, reason: str) -> None:
        """Notes that the latest message was not used.

        Args:
            kind: Short name under which refusals are counted.
            reason: One sentence with what was got and what is allowed.
        """
        self.refused[kind] += 1
        self.last_reason = reason

    def report(self) -> DiagnosticStatus:
        """Counts so far and the rate since the last report."""
        now_s = self._monotonic()
        since_s, before = self._reported
        self._reported = (now_s, self.count)
        rate_hz = (self.count - before) / max(now_s - since_s, 1e-9)
        values = {"count": str(self.count), "rate_hz": f"{rate_hz:.2f}"}
        if self._last_s is not None:
            values["age_s"] = f"{now_s - self._last_s:.3f}"
        values |= {f"refused: {kind}": str(count) for kind, count in self.refused.items()}
        if self.last_reason:
            values["last refusal"] = self.last_reason
        if self._last_s is None:
            level, message = DiagnosticStatus.STALE, "nothing came yet"
        elif self.refused:
            level = DiagnosticStatus.WARN
            message = f"{self.refusals} refused; the last: {self.last_reason}"
        else:
            level, message = DiagnosticStatus.OK, "ok"
        return DiagnosticStatus(
            level=level,
            name=self.name,
            message=message,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )


class Diagnostics:
    """The inputs of one node, and further lines it wants to report."""

    def __init__(self, node: Node) -> None:
        """Starts the 1 Hz report."""
        self._node = node
        self._inputs: list[InputMonitor] = []
        self._lines: list[Callable[[], DiagnosticStatus]] = []
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", REPORT)
        # Steady: reports must go on when simulated time stands still.
        self._timer = node.create_timer(PERIOD_S, self.publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def monitor(self, name: str) -> InputMonitor:
        """A monitor for one more input, or that of the same name."""
        for item in self._inputs:
            if item.name == name:
                return item
        self._inputs.append(InputMonitor(name))
        return self._inputs[-1]

    def add(self, line: Callable[[], DiagnosticStatus]) -> None:
        """Adds a line that is made anew for every report."""
        self._lines.append(line)

    def publish(self) -> None:
        """Publishes the report now."""
        prefix = self._node.get_fully_qualified_name()
        report = DiagnosticArray()
        report.header.stamp = self._node.get_clock().now().to_msg()
        for status in (*(item.report() for item in self._inputs), *(line() for line in self._lines)):
            status.name = f"{prefix}: {status.name}"
            status.hardware_id = prefix
            report.status.append(status)
        self._publisher.publish(report)
