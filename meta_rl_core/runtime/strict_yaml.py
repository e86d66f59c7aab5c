# SPDX-License-Identifier: Apache-2.0
"""YAML written by people, read strictly: one mapping, no repeated keys, no references, a bounded size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from meta_rl_core.errors import InvalidValueError

LARGEST_BYTES = 1 << 20


class _StrictLoader(yaml.SafeLoader):
    """Plain values alone; a key that appears twice would silently win over the first."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuses references, which can make a short text expand without end."""
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()
            raise yaml.YAMLError(f"references (*name) are not allowed, line {event.start_mark.line + 1}")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Refuses repeated keys."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.YAMLError(
                    f"keys must be names, got {key!r} in line {key_node.start_mark.line + 1}"
                )
            if key in seen:
                raise yaml.YAMLError(f"the key {key!r} appears twice, line {key_node.start_mark.line + 1}")
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a file.

    Raises:
        InvalidValueError: If the file cannot be read or does not hold exactly one such mapping.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise InvalidValueError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > LARGEST_BYTES:
        raise InvalidValueError(f"{path} is larger than {LARGEST_BYTES} bytes: is it the right file?")
    try:
        return parse_yaml(data.decode("utf-8"))
    except (InvalidValueError, UnicodeDecodeError) as error:
        raise InvalidValueError(f"{path}: {error}") from error


def parse_yaml(text: str) -> dict[str, Any]:
    """The mapping in a text.

    Raises:
        InvalidValueError: If the text does not hold exactly one mapping of plain values.
    """
    loader = _StrictLoader(text)
    try:
        value = loader.get_single_data()
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InvalidValueError(f"not valid YAML: {' '.join(str(error).split())}") from error
    finally:
        loader.dispose()
    if not isinstance(value, dict):
        raise InvalidValueError(f"must be a YAML mapping, got a {type(value).__name__}")
    return value
