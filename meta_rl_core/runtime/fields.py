# SPDX-License-Identifier: Apache-2.0
"""Reads JSON objects strictly: every key known, present, of its type and in its range."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from meta_rl_core.errors import InvalidValueError


class Fields:
    """One JSON object whose keys must all be read; `finish` refuses what nobody asked for."""

    def __init__(self, value: object, where: str) -> None:
        """Wraps `value`; `where` names it in messages, such as `robot.action`.

        Raises:
            InvalidValueError: If `value` is not an object whose keys are printable names.
        """
        if not isinstance(value, Mapping) or not all(_is_name(key) for key in value):
            raise InvalidValueError(f"{where} must be an object with printable keys, got {_brief(value)}")
        self.where = where
        self.values: Mapping[str, Any] = value
        self._read: set[str] = set()

    def raw(self, key: str) -> Any:
        """The value of `key`, of any type.

        Raises:
            InvalidValueError: If the key is missing.
        """
        if key not in self.values:
            present = ", ".join(sorted(self.values)) or "nothing"
            raise InvalidValueError(f"{self.where} lacks {key!r}; it has {present}")
        self._read.add(key)
        return self.values[key]

    def text(self, key: str, allowed: Sequence[str] | None = None, *, longest: int = 1000) -> str:
        """A printable string, one of `allowed` if given, of at most `longest` characters."""
        value = self.raw(key)
        if not isinstance(value, str) or len(value) > longest or not value.isprintable():
            raise self._wrong(key, f"printable text of at most {longest} characters", value)
        if allowed is not None and value not in allowed:
            raise self._wrong(key, f"one of {', '.join(allowed)}", value)
        return value

    def names(self, key: str, *, most: int = 1000) -> tuple[str, ...]:
        """A list of distinct, non-empty, printable strings."""
        value = self.raw(key)
        if not isinstance(value, list | tuple) or len(value) > most:
            raise self._wrong(key, f"a list of at most {most} names", value)
        if not all(_is_name(name) for name in value):
            raise self._wrong(key, "a list of non-empty printable names", value)
        if len(set(value)) != len(value):
            raise self._wrong(key, "a list of distinct names", value)
        return tuple(value)

    def number(self, key: str, low: float = -math.inf, high: float = math.inf) -> float:
        """A finite number within [low, high]."""
        return self._number(key, self.raw(key), low, high)

    def optional_number(self, key: str, low: float = -math.inf, high: float = math.inf) -> float | None:
        """A finite number within [low, high], or null."""
        value = self.raw(key)
        return None if value is None else self._number(key, value, low, high)

    def numbers(self, key: str, *, most: int = 1000) -> tuple[float, ...]:
        """A list of finite numbers."""
        value = self.raw(key)
        if not isinstance(value, list | tuple) or len(value) > most:
            raise self._wrong(key, f"a list of at most {most} numbers", value)
        return tuple(self._number(key, number, -math.inf, math.inf) for number in value)

    def integer(self, key: str, low: int, high: int) -> int:
        """A whole number within [low, high]; 3.0 and true are not whole numbers."""
        value = self.raw(key)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._wrong(key, f"a whole number from {low} to {high}", value)
        return value

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self.raw(key)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def items(self, key: str, *, most: int = 1000) -> list[Fields]:
        """A list of objects, each to be read and finished."""
        value = self.raw(key)
        if not isinstance(value, list | tuple) or len(value) > most:
            raise self._wrong(key, f"a list of at most {most} objects", value)
        return [Fields(item, f"{self.where}.{key}[{index}]") for index, item in enumerate(value)]

    def inner(self, key: str) -> Fields:
        """An object to be read and finished."""
        return Fields(self.raw(key), f"{self.where}.{key}")

    def finish(self) -> None:
        """Refuses keys that were never read.

        Raises:
            InvalidValueError: If there are any.
        """
        unknown = sorted(set(self.values) - self._read)
        if unknown:
            known = ", ".join(sorted(self._read))
            raise InvalidValueError(
                f"{self.where} has unknown keys {', '.join(map(repr, unknown))}; known: {known}"
            )

    def _number(self, key: str, value: object, low: float, high: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, "a number", value)
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number) or not low <= number <= high:
            raise self._wrong(key, f"a finite number from {low:g} to {high:g}", value)
        return number

    def _wrong(self, key: str, allowed: str, value: object) -> InvalidValueError:
        return InvalidValueError(f"{self.where}.{key} must be {allowed}, got {_brief(value)}")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
