# SPDX-License-Identifier: Apache-2.0
"""Where matrix products may run in bfloat16: on processors that multiply it faster than float32."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

_INSTRUCTIONS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""As Linux names them for x86 and ARM processors."""
_PROCESSORS = Path("/proc/cpuinfo")


def matrix_products(reduced: bool, device: torch.device) -> torch.autocast:
    """Inside, hidden layers run in bfloat16 if that is asked for and the device computes in it.

    Without the instructions torch emulates them, many times slower than float32.

    Args:
        reduced: Whether the configuration asks for it.
        device: Where the networks are.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=reduced and has_bfloat16(device.type))


@lru_cache
def has_bfloat16(device_type: str) -> bool:
    """Whether the processor, or the CUDA device at hand, is quicker in bfloat16; false where nothing tells."""
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        return tells_bfloat16(_PROCESSORS.read_text(encoding="utf-8"))
    except OSError:
        return False


def tells_bfloat16(processors: str) -> bool:
    """Whether a text as in Linux' /proc/cpuinfo is that of such a processor.

    Intel's have dot products of bfloat16 at half the rate of those in float32; only on tiles (AMX) they are quicker.
    """
    facts = [
        (line.partition(":")[0].strip(), line.partition(":")[2].strip()) for line in processors.splitlines()
    ]
    instructions = {flag for name, flags in facts if name in ("flags", "Features") for flag in flags.split()}
    if ("vendor_id", "GenuineIntel") in facts:
        instructions.discard("avx512_bf16")
    return bool(_INSTRUCTIONS & instructions)
