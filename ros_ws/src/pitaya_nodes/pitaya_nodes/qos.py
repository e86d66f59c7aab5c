# SPDX-License-Identifier: Apache-2.0
"""Named quality-of-service profiles, each with the reason for its choice."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _profile(depth: int, *, reliable: bool = True, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


SENSOR = _profile(5, reliable=False)
"""Subscriptions to robot state: a best-effort reader hears best-effort and reliable drivers alike."""

EVERY_STATE = _profile(200, reliable=False)
"""As `SENSOR`, for those who must see each state (to judge it, or a command that answers it) even when late."""

STATE = _profile(200)
"""Publishers of robot state: reliable, as joint_state_broadcaster is, so that every reader hears them.

As many are kept for a reliable reader that lags, such as a recorder on a busy machine, as `EVERY_STATE` takes.
"""

COMMAND = _profile(10)
"""Joint commands to the gate: must arrive, also at a recorder; the gate judges each one by its stamp."""

CONTROLLER = _profile(1)
"""Commands to a ros2_control controller, which carry no stamp: only the latest one means anything."""

PAIRED = _profile(50)
"""Rewards and executed commands: paired by stamp with a step, so none may be lost to a short queue."""

LATCHED = _profile(1, latched=True)
"""Status and task: whoever joins late gets the latest one at once."""

EVERY_STATUS = _profile(10, latched=True)
"""Subscriptions to `LATCHED` status, for those who must see each one although another one followed at once."""

BELIEF = _profile(100, latched=True)
"""Beliefs: as latched, and no one of an episode may be lost on the way to a recorder."""

LATCHED_OR_NOT = _profile(10)
"""Subscriptions to what others may publish latched or not: a volatile reader hears both from now on."""

REPORT = _profile(10)
"""Diagnostics and logs."""

CLOCK = _profile(1)
"""Simulated time: only the latest one means anything."""
