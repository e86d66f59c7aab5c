# SPDX-License-Identifier: Apache-2.0
"""Real-time priority for the nodes between a robot's states and its commands."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from pitaya_nodes.errors import RealtimeError
from pitaya_nodes.parameters import Setting

REALTIME_PRIORITY = Setting(
    "realtime_priority",
    0,
    "Priority of this node's threads under the scheduler SCHED_FIFO, ahead of all ordinary programs; 0 asks for none.",
    low=0,
    high=90,
)


def take_priority(priority: int) -> None:
    """Puts every thread that this process has by now under SCHED_FIFO; with 0 nothing changes.

    DDS's threads are among them, for a message passes through them. Threads and processes that are started later,
    as those that write to disk, are ordinary ones.

    Raises:
        RealtimeError: If this user may not have that priority.
    """
    if priority == 0:
        return
    for thread in Path("/proc/self/task").iterdir():
        # A thread that has ended meanwhile needs none.
        with contextlib.suppress(ProcessLookupError):
            _raise_one(int(thread.name), priority)


def _raise_one(thread: int, priority: int) -> None:
    try:
        os.sched_setscheduler(thread, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except PermissionError as error:
        raise RealtimeError(
            f"realtime_priority {priority} is not permitted to this user; allow it (`rtprio {priority}` in "
            "/etc/security/limits.conf, then log in anew) or set realtime_priority to 0"
        ) from error
