# SPDX-License-Identifier: Apache-2.0
"""A wall clock that can be set for some processes alone, by a small preloaded library."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")
_COMPILERS = ("cc", "gcc", "clang")


class WallClock:
    """The wall clock of all processes that get `environment`."""

    def __init__(self, folder: Path) -> None:
        """Builds the library; the clock is right.

        Raises:
            OSError: If there is no C compiler, or it fails.
        """
        self._shift = folder / "wall_clock_shift_ns"
        self.set(0.0)
        compiler = next((found for name in _COMPILERS if (found := shutil.which(name))), None)
        if compiler is None:
            raise OSError(f"no C compiler ({', '.join(_COMPILERS)}) is on the path: install one")
        self._library = folder / "wall_clock.so"
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(self._library), str(_SOURCE), "-ldl"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"the wall clock's library could not be built: {done.stderr}")

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process needs to be under this clock."""
        return {"LD_PRELOAD": str(self._library), "WALL_CLOCK_FILE": str(self._shift)}

    def set(self, shift_s: float) -> None:
        """Sets how far the clock is off [s], at once for all processes."""
        data = struct.pack("<q", round(shift_s * 1e9))
        if self._shift.exists():
            with self._shift.open("r+b") as file:
                file.write(data)
        else:
            self._shift.write_bytes(data)
