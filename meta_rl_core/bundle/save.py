# SPDX-License-Identifier: Apache-2.0
"""Writes a policy bundle, and accepts its own work only after loading it as a robot would."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as save_tensors

from meta_rl_core.bundle.files import sha256_of
from meta_rl_core.bundle.load import Bundle, load_bundle
from meta_rl_core.bundle.manifest import (
    CHANGE,
    CHANGE_SCHEMA_VERSION,
    GOLDEN_FILE,
    MANIFEST_FILE,
    SCHEMA_VERSION,
    WEIGHTS_FILE,
    bundle_hash,
)
from meta_rl_core.errors import BundleError

Tensors = Mapping[str, NDArray[Any]]


def write_bundle(
    directory: str | Path,
    manifest_fields: Mapping[str, Any],
    weights: Tensors,
    golden: Tensors,
    *,
    overwrite: bool = False,
) -> Bundle:
    """Writes manifest, weights and golden vectors, checks them by loading, and only then puts them in place.

    Args:
        directory: Where to; other files in it (curves, notes) stay.
        manifest_fields: Manifest without `schema_version`, `files` and `bundle_hash`, which are added.
        weights: Arrays by name, stored as float32.
        golden: Golden vectors by name (see `golden.check_golden_shapes`), stored as float32.
        overwrite: Replace a bundle that is already there.

    Returns:
        The bundle as loaded.

    Raises:
        BundleError: If a bundle is there already, a given field is one of those added, or loading refuses.
    """
    target = Path(directory)
    if (target / MANIFEST_FILE).exists() and not overwrite:
        raise BundleError(f"{target} already holds a bundle; choose another directory or ask to overwrite it")
    contents = _contents(manifest_fields, weights, golden)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".bundle-", dir=target.parent) as workspace:
            return _put_in_place(contents, Path(workspace), target)
    except OSError as error:
        raise BundleError(f"the bundle could not be written to {target}: {error}") from error


def _put_in_place(contents: Mapping[str, bytes], workspace: Path, target: Path) -> Bundle:
    for name, data in contents.items():
        _write_durably(workspace / name, data)
    bundle = load_bundle(workspace)
    target.mkdir(exist_ok=True)
    # The manifest goes last: a crash in between leaves a bundle that is refused, not one that is half new.
    for name in contents:
        os.replace(workspace / name, target / name)
    _sync_directory(target)
    return replace(bundle, path=target)


def _contents(manifest_fields: Mapping[str, Any], weights: Tensors, golden: Tensors) -> dict[str, bytes]:
    added = {"schema_version", "files", "bundle_hash"} & set(manifest_fields)
    if added:
        raise BundleError(f"manifest fields must not hold {', '.join(sorted(added))}: the writer adds them")
    contents = {WEIGHTS_FILE: _pack(weights), GOLDEN_FILE: _pack(golden)}
    manifest: dict[str, Any] = {
        # An older Pitaya must refuse what it would only half understand; what it understands stays as it was.
        "schema_version": CHANGE_SCHEMA_VERSION
        if CHANGE in manifest_fields.get("networks", ())
        else SCHEMA_VERSION,
        **manifest_fields,
        "files": {name: {"sha256": sha256_of(data), "bytes": len(data)} for name, data in contents.items()},
    }
    manifest["bundle_hash"] = bundle_hash(manifest)
    contents[MANIFEST_FILE] = (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode("utf-8")
    return contents


def _pack(tensors: Tensors) -> bytes:
    packed: bytes = save_tensors(
        {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in tensors.items()}
    )
    return packed


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
