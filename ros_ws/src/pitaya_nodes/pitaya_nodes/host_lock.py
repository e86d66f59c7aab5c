# SPDX-License-Identifier: Apache-2.0
"""One commander per topic on one machine: known at once, before nodes have discovered each other."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path

from meta_rl_core.errors import PitayaError


class CommanderError(PitayaError):
    """A second node commands the same robot."""


class HostLock:
    """Held by a process until it releases it or ends, however it ends."""

    def __init__(self, domain: int, topic: str, folder: Path | None = None) -> None:
        """Takes the lock.

        Args:
            domain: ROS domain.
            topic: Full name of the topic that is commanded.
            folder: Where locks lie; by default the machine's folder of temporary files.

        Raises:
            CommanderError: If another process holds it; names the process.
        """
        name = hashlib.sha256(f"{os.getuid()} {domain} {topic}".encode()).hexdigest()[:16]
        path = (folder or Path(tempfile.gettempdir())) / f"pitaya-{name}.lock"
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise CommanderError(
                f"cannot open {path} to make sure that {topic} has one commander: {error}"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._file, 100).decode("ascii", errors="replace").strip()
            os.close(self._file)
            raise CommanderError(
                f"process {holder or 'unknown'} on this machine commands {topic} already (ROS domain {domain}): "
                "end it first"
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Gives the lock back; the file stays, for a name that comes and goes would be two locks."""
        os.close(self._file)
