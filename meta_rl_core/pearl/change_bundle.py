# SPDX-License-Identifier: Apache-2.0
"""Gives a bundle a network that tells a changed task, and the alarm it is calibrated to; the rest stays to the bit."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.numpy import load_file

from meta_rl_core.bundle import Bundle, load_bundle, write_bundle
from meta_rl_core.bundle.golden import golden_change_rows
from meta_rl_core.bundle.manifest import CHANGE, GOLDEN_FILE, MANIFEST_FILE, WEIGHTS_FILE
from meta_rl_core.bundle.schema import LEAST_ALARM
from meta_rl_core.networks.mlp import MLP
from meta_rl_core.pearl.change_fit import LOWEST_CALIBRATED, ChangeFit, calibrated, false_alarms, learn
from meta_rl_core.pearl.lives import joined, live_many
from meta_rl_core.registry import load_family

_WRITTEN = ("schema_version", "files", "bundle_hash")
_USUAL_PERIOD_S = 0.1


class Taught(NamedTuple):
    """What became of a bundle."""

    bundle: Bundle
    losses: list[float]
    """Mean cross entropy of each tenth of the updates [nat]."""
    strengths: list[float]
    """Evidence of the false alarms that the calibration met, the strongest first [nat]."""
    alarm: float
    """[nat]"""


def teach(
    directory: Path, out: Path | None, settings: ChangeFit, hours: float, alarms_per_hour: float
) -> Taught:
    """Trains the network on simulated lives, calibrates the alarm on others whose tasks never change, and writes.

    Args:
        directory: A bundle.
        out: Where to write; None replaces the bundle.
        settings: How to learn.
        hours: Simulated hours without a change to calibrate on.
        alarms_per_hour: False alarms an hour that the alarm may cost there.

    Raises:
        PitayaError: If the bundle cannot be used, its family cannot be loaded, or `out` is taken.
    """
    bundle = load_bundle(directory)
    family = load_family(bundle.manifest.family, from_file=True)
    generator = np.random.Generator(np.random.PCG64(settings.seed))
    tasks = family.sample_tasks(settings.tasks, generator)
    lives = joined(live_many(bundle, family, tasks, settings.episodes, settings.seed))
    network, losses = learn(bundle, family, lives, settings)

    fields = json.loads((directory / MANIFEST_FILE).read_text(encoding="utf-8"))
    weights, golden = (load_file(directory / name) for name in (WEIGHTS_FILE, GOLDEN_FILE))
    episode_s = bundle.manifest.horizon * (bundle.manifest.period_s or _USUAL_PERIOD_S)
    sound = family.sample_tasks(int(np.ceil(hours * 3600.0 / (settings.episodes * episode_s))), generator)
    with tempfile.TemporaryDirectory() as folder:
        trial = write_bundle(folder, *bundle_parts(fields, weights, golden, network, LEAST_ALARM))
        strengths = [
            strength
            for life in live_many(bundle, family, sound, settings.episodes, settings.seed + 1)
            for strength in false_alarms(trial, life, LOWEST_CALIBRATED)
        ]
    strengths.sort(reverse=True)
    alarm = calibrated(strengths, hours, alarms_per_hour)
    parts = bundle_parts(fields, weights, golden, network, alarm)
    return Taught(write_bundle(out or directory, *parts, overwrite=out is None), losses, strengths, alarm)


def bundle_parts(
    fields: dict[str, Any], weights: dict[str, Any], golden: dict[str, Any], network: MLP, alarm: float
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Manifest fields, weights and golden vectors of a bundle, with the network and what torch answers added."""
    with torch.no_grad():
        rows = torch.from_numpy(
            golden_change_rows(golden, fields["reward_scale_in_context"]).astype(np.float32)
        )
        answers = network(rows).squeeze(-1).numpy()
    kept = {name: value for name, value in fields.items() if name not in _WRITTEN}
    networks = {**kept["networks"], CHANGE: {"layers": network.describe()}}
    others = {name: value for name, value in weights.items() if not name.startswith(f"{CHANGE}.")}
    return (
        {**kept, "networks": networks, "change_alarm": float(alarm)},
        {**others, **network.export_weights(CHANGE)},
        {**golden, "change_log_odds": answers},
    )
