# SPDX-License-Identifier: Apache-2.0
"""Memory: what updates free is kept for the next one, what a replay reserves costs nothing until it is filled."""

from __future__ import annotations

import ctypes
import math
import mmap

import torch

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT_BYTES = 1 << 30


def keep_freed_memory() -> bool:
    """Tells the allocator not to hand pages back to the system between updates.

    Activations of a few megabytes are allocated and freed in every update. glibc returns such blocks to the
    system each time, and touching fresh pages costs 5 to 12 % of an update.

    Returns:
        Whether the allocator understood; without glibc nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = (_TRIM_THRESHOLD, _MMAP_THRESHOLD)
    return all(mallopt(setting, _LARGEST_KEPT_BYTES) == 1 for setting in settings)


def unfilled(shape: tuple[int, ...], device: str | torch.device) -> torch.Tensor:
    """A float32 tensor of any content, large enough to be worth its own pages.

    On a CPU they come from the system as they are first written to, and go back as soon as the tensor does: a replay
    that grows would otherwise leave all its former sizes behind, where `keep_freed_memory` was called. `torch.zeros`
    writes to all of them at once.
    """
    count = math.prod(shape)
    if torch.device(device).type != "cpu" or count == 0:
        return torch.empty(shape, dtype=torch.float32, device=device)
    pages = mmap.mmap(-1, 4 * count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return torch.frombuffer(pages, dtype=torch.float32).view(shape)
