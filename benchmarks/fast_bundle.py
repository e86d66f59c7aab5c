# SPDX-License-Identifier: Apache-2.0
"""A policy bundle that acts at another rate than it was trained for: for measuring times, not for moving robots."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from meta_rl_core.bundle import write_bundle
from meta_rl_core.bundle.manifest import GOLDEN_FILE, MANIFEST_FILE, WEIGHTS_FILE


def with_period(bundle: Path, target: Path, period_s: float) -> Path:
    """Copies a bundle, replacing the policy's period [s]; gives the copy."""
    fields = json.loads((bundle / MANIFEST_FILE).read_text(encoding="utf-8"))
    for written in ("schema_version", "files", "bundle_hash"):
        fields.pop(written, None)
    fields["period_s"] = fields["robot"]["period_s"] = period_s
    weights = {name: value.astype(np.float64) for name, value in load_file(bundle / WEIGHTS_FILE).items()}
    golden = {name: value.astype(np.float64) for name, value in load_file(bundle / GOLDEN_FILE).items()}
    return write_bundle(target, fields, weights, golden).path
