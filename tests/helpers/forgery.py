# SPDX-License-Identifier: Apache-2.0
"""Changes bundles the way a careful forger would, with hashes that fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meta_rl_core.bundle.files import sha256_of
from meta_rl_core.bundle.manifest import bundle_hash

FILES = ("manifest.json", "weights.safetensors", "golden.safetensors")


def rewrite(policy: Path, change: Callable[[dict[str, Any]], None], *, hashed: bool = True) -> None:
    """Changes the manifest and, as a careful forger would, its hash."""
    path = policy / "manifest.json"
    value = json.loads(path.read_text())
    change(value)
    if hashed:
        value["bundle_hash"] = bundle_hash(value)
    path.write_text(json.dumps(value))


def replace_file(policy: Path, name: str, data: bytes) -> None:
    """Replaces a tensor file and, as a careful forger would, its record."""
    (policy / name).write_bytes(data)
    record = {"sha256": sha256_of(data), "bytes": len(data)}
    rewrite(policy, lambda value: value["files"].update({name: record}))
