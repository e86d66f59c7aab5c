# SPDX-License-Identifier: Apache-2.0
"""The file that says how far bodies may differ in training: written by `pitaya identify`, read by `pitaya train`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import yaml

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.families.dclaw_dynamics import LIMITS, DynamicsRanges
from meta_rl_core.runtime.fields import Fields
from meta_rl_core.runtime.strict_yaml import read_yaml

SCHEMA_VERSION = 1
NAMES = tuple(field.name for field in fields(DynamicsRanges))
_HEADER = """\
# SPDX-License-Identifier: Apache-2.0
# Bodies to train dclaw-turn-dynamics on: pitaya train dclaw-turn-dynamics --ranges FILE. Units are in the names.
"""


def read_ranges(path: Path) -> DynamicsRanges:
    """The ranges in a file.

    Raises:
        InvalidValueError: If the file cannot be read, has other keys, or a range is out of order or of limits.
    """
    content = Fields(read_yaml(path), str(path))
    if content.integer("schema_version", 1, SCHEMA_VERSION) != SCHEMA_VERSION:
        raise InvalidValueError(f"{path}: schema_version must be {SCHEMA_VERSION}")
    content.raw("measured")
    ranges = content.inner("ranges")
    bounds = {}
    for name in NAMES:
        numbers = ranges.numbers(name, most=2)
        if len(numbers) != 2:
            raise InvalidValueError(f"{path}: ranges.{name} must be [lowest, highest], got {list(numbers)}")
        bounds[name] = (numbers[0], numbers[1])
    ranges.finish()
    content.finish()
    try:
        return DynamicsRanges(**bounds)
    except InvalidValueError as error:
        raise InvalidValueError(f"{path}: {error}") from error


def write_ranges(path: Path, ranges: DynamicsRanges, measured: Mapping[str, object]) -> None:
    """Writes ranges and, for whoever reads the file, what was measured.

    Raises:
        InvalidValueError: If the file cannot be written.
    """
    content = {
        "schema_version": SCHEMA_VERSION,
        "measured": dict(measured),
        "ranges": {name: [round(value, 6) for value in getattr(ranges, name)] for name in NAMES},
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_HEADER + yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise InvalidValueError(f"cannot write {path}: {error.strerror or error}") from error


def around(name: str, value: float, half_width: float) -> tuple[float, float]:
    """A range around a measured value that the model can represent."""
    low, high = LIMITS[name]
    return (min(max(value - half_width, low), high), max(min(value + half_width, high), low))
