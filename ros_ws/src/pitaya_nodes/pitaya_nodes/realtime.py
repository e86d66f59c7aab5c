# SPDX-License-Identifier: Apache-2.0
"""Real-time priority for the nodes between a robot's states and its commands."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable
from pathlib import Path

from pitaya_nodes.errors import RealtimeError
from pitaya_nodes.parameters import Setting

REALTIME_PRIORITY = Setting(
    "realtime_priority",
    0,
    "Priority of this node's threads under the scheduler SCHED_FIFO, ahead of all ordinary programs, with processors "
    "kept from sleeping where permitted; 0 asks for none.",
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


LATENCY_DEVICE = Path("/dev/cpu_dma_latency")


def keep_awake(priority: int, device: Path = LATENCY_DEVICE) -> tuple[Callable[[], None], str]:
    """Keeps processors out of sleep states that take long to wake from (Linux, pm_qos_interface).

    Args:
        priority: Value of `realtime_priority`; with 0 nothing is done.
        device: Through which Linux is asked; the wish holds while it is open.

    Returns:
        What ends it, and why it could not be had or an empty text: a robot runs without it, only less evenly.
    """
    if priority == 0:
        return lambda: None, ""
    try:
        wish = device.open("r+b", buffering=0)
        wish.write(struct.pack("i", 0))
    except OSError as error:
        return (
            lambda: None,
            f"processors may sleep between messages: {device}: {error.strerror}; permit this user to write to it, "
            "such as by a udev rule, for answers that come more evenly",
        )
    return wish.close, ""


def _raise_one(thread: int, priority: int) -> None:
    try:
        os.sched_setscheduler(thread, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except PermissionError as error:
        raise RealtimeError(
            f"realtime_priority {priority} is not permitted to this user; allow it (`rtprio {priority}` in "
            "/etc/security/limits.conf, then log in anew) or set realtime_priority to 0"
        ) from error
