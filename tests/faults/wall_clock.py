# SPDX-License-Identifier: Apache-2.0
"""A wall clock that can be set for some processes alone, by a small preloaded library."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

from tests.helpers.preloads import build_preload

_SOURCE = Path(__file__).with_suffix(".c")


class WallClock:
    """The wall clock of all processes that get `environment`."""

    def __init__(self, folder: Path) -> None:
        """Builds the library; the clock is right.

        Raises:
            OSError: If there is no C compiler, or it fails.
        """
        self._shift = folder / "wall_clock_shift_ns"
        self.set(0.0)
        self._library = build_preload(_SOURCE, folder)

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
