# SPDX-License-Identifier: Apache-2.0
"""How far commands may reach when motors are hot or work hard. Pure, with time as an argument."""

from __future__ import annotations

from collections.abc import Mapping

from meta_rl_core.runtime.robot_description import Derating, Threshold


class Heat:
    """Follows temperature and windowed current of every motor.

    Attributes:
        share: How much of the full reach commands have: 1 when all is well, 0 from a `hold` number on.
        reason: What limits them, with the joint; empty at full reach.
    """

    def __init__(self, limits: Derating) -> None:
        """Starts cold."""
        self._limits = limits
        self._current_a: dict[str, float] = {}
        self._last_s: float | None = None
        self.share = 1.0
        self.reason = ""

    def update(
        self, now_s: float, temperature_c: Mapping[str, float], current_a: Mapping[str, float]
    ) -> None:
        """Takes what the motors measured; currents are averaged over the window as absolute values."""
        elapsed_s = 0.0 if self._last_s is None else now_s - self._last_s
        self._last_s = now_s
        window_s = self._limits.current_window_s
        weight = 1.0 if window_s <= 0.0 else min(elapsed_s / window_s, 1.0)
        worst, reason = 1.0, ""
        for joint, current in current_a.items():
            before = self._current_a.get(joint, 0.0)
            self._current_a[joint] = before + weight * (abs(current) - before)
            share = _share(self._current_a[joint], self._limits.current_a)
            if share < worst:
                worst, reason = share, f"{joint} draws {self._current_a[joint]:.2f} A"
        for joint, temperature in temperature_c.items():
            share = _share(temperature, self._limits.temperature_c)
            if share < worst:
                worst, reason = share, f"{joint} is at {temperature:.0f} degrees C"
        # Once stopped, it takes full health to go on: no creeping at the limit.
        if self.share == 0.0 and 0.0 < worst < 1.0:
            worst = 0.0
        self.share, self.reason = worst, reason

    def within_reach(self, angle_rad: float, here_rad: float) -> float:
        """The angle [rad] nearest to the wanted one that a joint which stands here may be sent to now."""
        if self.share == 1.0:
            return angle_rad
        reach_rad = self.share * self._limits.full_reach_rad
        return min(max(angle_rad, here_rad - reach_rad), here_rad + reach_rad)


def _share(value: float, threshold: Threshold) -> float:
    if value <= threshold.start:
        return 1.0
    return max((threshold.hold - value) / (threshold.hold - threshold.start), 0.0)
