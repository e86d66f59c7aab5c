# SPDX-License-Identifier: Apache-2.0
"""Finds a ROS domain that nobody on this machine uses, so that demos and tests do not hear each other."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

from pitaya_nodes.errors import BringUpError

HIGHEST_DOMAIN = 101
"""Above this, the ports of a domain may collide with those Linux hands out to programs."""

_PORT_BASE, _PORTS_PER_DOMAIN = 7400, 250


class ReservedDomain:
    """A domain that stays reserved until it is closed; other reservations on this machine avoid it.

    Attributes:
        number: The domain id.
    """

    def __init__(self) -> None:
        """Reserves a free domain.

        Raises:
            BringUpError: If there is none.
        """
        start = os.getpid()
        for offset in range(HIGHEST_DOMAIN):
            # Domain 0 is everybody's default, so it is never taken.
            number = 1 + (start + offset) % HIGHEST_DOMAIN
            claim = _claim(number)
            if claim is None:
                continue
            if _is_silent(number):
                self.number, self._claim = number, claim
                return
            os.close(claim)
        raise BringUpError(f"all ROS domains from 1 to {HIGHEST_DOMAIN} are in use on this machine")

    def close(self) -> None:
        """Gives the domain back."""
        os.close(self._claim)


def _claim(number: int) -> int | None:
    """A lock on a file: it ends with the process that holds it, however that process ends."""
    folder = Path(tempfile.gettempdir()) / f"pitaya-ros-domains-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    claim = os.open(folder / str(number), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(claim)
        return None
    return claim


def _is_silent(number: int) -> bool:
    """Whether no DDS participant listens on the domain's discovery port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", _PORT_BASE + _PORTS_PER_DOMAIN * number))
        except OSError:
            return False
    return True
