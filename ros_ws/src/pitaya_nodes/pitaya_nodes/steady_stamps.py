# SPDX-License-Identifier: Apache-2.0
"""Stamps that no adjustment of the wall clock moves: a steady clock, put once where ROS time was."""

from __future__ import annotations

from pitaya_nodes.convert import NANOSECONDS


class SteadyStamps:
    """ROS time at `begin`, and from there on as much later as the steady clock says.

    Others pair and order messages by their stamps, and take a leap for another clock; so stamps go on evenly while
    the wall clock is set to another hour, and are off by that much until the next `begin`.
    """

    def __init__(self) -> None:
        """Counts from the steady clock's own zero until `begin`."""
        self._offset_ns: int | None = None

    def begin(self, steady_s: float, ros_ns: int) -> None:
        """Takes ROS time as it is now. Never goes back: one that was set back since the last time is not followed.

        Args:
            steady_s: The steady clock [s].
            ros_ns: ROS time at the same moment [ns].
        """
        offset_ns = ros_ns - round(steady_s * NANOSECONDS)
        self._offset_ns = offset_ns if self._offset_ns is None else max(self._offset_ns, offset_ns)

    def stamp_ns(self, steady_s: float) -> int:
        """The stamp of what was seen at a time on the steady clock [s]; in ROS time [ns]."""
        return (self._offset_ns or 0) + round(steady_s * NANOSECONDS)
