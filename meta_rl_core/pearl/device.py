# SPDX-License-Identifier: Apache-2.0
"""Where networks and replay live."""

from __future__ import annotations

import torch

from meta_rl_core.errors import InvalidValueError

DEVICES = ("cpu", "cuda")


def checked_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        InvalidValueError: If it is none of `DEVICES`, or this machine or this torch has no such device.
    """
    if name not in DEVICES:
        raise InvalidValueError(f"device must be one of {', '.join(DEVICES)}; got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        build = f"torch {torch.__version__}, built for CUDA {torch.version.cuda or '(none)'}"
        raise InvalidValueError(
            f"--device cuda, but {build}, finds no CUDA device here; use --device cpu, or install a driver and a "
            "torch built for CUDA"
        )
    return torch.device(name)
