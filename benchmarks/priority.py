# SPDX-License-Identifier: Apache-2.0
"""The real-time priority that benchmarks of deadlines run at, unless told otherwise."""

from __future__ import annotations

import argparse
import os

USUAL = 20


def permitted_priority() -> int:
    """`USUAL` where this user may have it under SCHED_FIFO, as a robot's computer is set up, otherwise 0."""
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(USUAL))
    except PermissionError:
        return 0
    os.sched_setscheduler(0, policy, parameter)
    return USUAL


def add_option(parser: argparse.ArgumentParser, whose: str) -> None:
    """Adds `--realtime-priority`, which goes into the report as it was used."""
    parser.add_argument(
        "--realtime-priority",
        type=int,
        default=permitted_priority(),
        help=f"of {whose}, under SCHED_FIFO; 0 for ordinary programs; {USUAL} by default where it is permitted",
    )
