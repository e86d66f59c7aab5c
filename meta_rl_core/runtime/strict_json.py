# SPDX-License-Identifier: Apache-2.0
"""JSON with one spelling and no surprises: canonical writing, strict parsing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from meta_rl_core.errors import InvalidValueError


def canonical_json(value: Mapping[str, Any]) -> bytes:
    """The one canonical spelling of a JSON object.

    Raises:
        InvalidValueError: If it holds NaN, infinity or something JSON does not know.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValueError(f"must be plain JSON with finite numbers: {error}") from error
    return text.encode("ascii")


def parse_json(data: bytes) -> dict[str, Any]:
    """Parses a JSON object, refusing repeated keys, NaN and infinity.

    Raises:
        InvalidValueError: If it is not such an object.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidValueError(f"must be a JSON object, got a {type(value).__name__}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key appears twice")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed")
