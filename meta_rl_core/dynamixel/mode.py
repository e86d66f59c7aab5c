# SPDX-License-Identifier: Apache-2.0
"""What the driver of a Dynamixel bus may be doing."""

from __future__ import annotations

from enum import Enum


class Mode(Enum):
    """What the driver does."""

    OFF = "off"
    """No finger has torque."""
    HOLD = "hold"
    """The fingers hold where they were told to."""
    FOLLOW = "follow"
    """The fingers follow a stream of commands."""
    ROUTINE = "routine"
    """A scripted move is in charge."""
    FAULT = "fault"
    """Held until a person has looked; see `reason`."""
    LOST = "lost"
    """The bus is silent or the port is gone; looking for it."""
