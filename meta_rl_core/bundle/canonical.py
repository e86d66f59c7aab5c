# SPDX-License-Identifier: Apache-2.0
"""JSON with one spelling: strict parsing and the hash that names a bundle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from meta_rl_core.errors import InvalidValueError


def canonical_json(value: Mapping[str, Any]) -> bytes:
    """One and only one spelling of a JSON object, to be hashed.

    Raises:
        InvalidValueError: If it holds NaN, infinity or something JSON does not know.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValueError(f"a manifest must be plain JSON with finite numbers: {error}") from error
    return text.encode("ascii")


def bundle_hash(value: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical manifest without its own `bundle_hash`; covers the files by their hashes."""
    rest = {key: item for key, item in value.items() if key != "bundle_hash"}
    return hashlib.sha256(canonical_json(rest)).hexdigest()


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
