# SPDX-License-Identifier: Apache-2.0
"""`--set NAME=VALUE`: one setting of a preset, with its type checked before anything is built on it."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any

import yaml

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.pearl.config import PearlConfig

OPTIONS_OF_THEIR_OWN = ("family", "preset", "seed", "control")
"""Settings that the command line asks for by name, since others depend on them."""


def parse_setting(setting: str) -> tuple[str, Any]:
    """Splits NAME=VALUE; the value is YAML, lists become tuples and `{...}` one of the nested groups.

    Raises:
        InvalidValueError: If there is no '=', the name is not a setting, or the value is not of its type.
    """
    name, separator, text = setting.partition("=")
    kinds = typing.get_type_hints(PearlConfig)
    for own in OPTIONS_OF_THEIR_OWN:
        del kinds[own]
    if not separator or name not in kinds:
        raise InvalidValueError(
            f"--set wants NAME=VALUE with NAME one of {', '.join(sorted(kinds))}; got {setting!r}"
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise InvalidValueError(f"--set {name}: {text!r} is not YAML; lists are written [64, 64]") from None
    return name, _converted(name, value, kinds[name])


def _converted(name: str, value: Any, kind: Any) -> Any:
    """The value as a setting of type `kind` takes it."""
    if dataclasses.is_dataclass(kind):
        return _group(name, value, kind)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise InvalidValueError(f"{name} must be a list such as [64, 64], got {value!r}")
        return tuple(_converted(name, item, typing.get_args(kind)[0]) for item in value)
    if typing.get_origin(kind) is typing.Literal:
        kind = str  # Which words are allowed is for the configuration to say.
    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        kind = next(part for part in typing.get_args(kind) if part is not types.NoneType)
    if kind is float:
        return _number(name, value)
    if type(value) is not kind:
        wanted = {int: "a whole number", bool: "true or false", str: "a word"}[kind]
        raise InvalidValueError(f"{name} must be {wanted}, got {value!r}")
    return value


def _number(name: str, value: Any) -> float:
    """A float; YAML 1.1 takes 1e-5, without a point, for a word."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidValueError(f"{name} must be a finite number, got {value!r}")
    return number


def _group(name: str, value: Any, kind: Any) -> Any:
    kinds = typing.get_type_hints(kind)
    if not isinstance(value, dict) or not set(value) <= set(kinds):
        raise InvalidValueError(
            f"{name} must be {{NAME: VALUE, ...}} with names of {sorted(kinds)}, got {value!r}"
        )
    return kind(**{part: _converted(f"{name}.{part}", item, kinds[part]) for part, item in value.items()})
