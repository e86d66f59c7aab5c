# SPDX-License-Identifier: Apache-2.0
"""One line of what a check-up found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Row:
    """One line.

    Attributes:
        subject: What was looked at.
        level: `ok`; `slow`, which works but not as it could; `fix`, with which the robot must not move.
        found: What was found, one sentence.
        fix: Command or act that helps; empty where nothing is wrong.
    """

    subject: str
    level: Literal["ok", "slow", "fix"]
    found: str
    fix: str = ""
