# SPDX-License-Identifier: Apache-2.0
"""Reads bring-up files: which nodes to start, with which parameters, for given arguments."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

from meta_rl_core.bundle.manifest import MANIFEST_FILE
from meta_rl_core.runtime.robot_file import find_robot
from pitaya_nodes.errors import BringUpError

BRINGUP_PACKAGE = "pitaya_bringup"
MANAGER = "lifecycle_manager"
_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")
_COMPARISON = re.compile(r"(\w+)\s*(==|!=)\s*(\S*)")
_KINDS = ("string", "path", "bundle", "robot", "integer", "number", "boolean")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
LARGEST_FILE_BYTES = 1 << 16
_NODE_KEYS = {"name", "package", "executable", "arguments", "managed", "if", "parameters", "remappings"}
_NODE_KEYS |= {"respawn", "spectator"}
SHARE = "share"
"""What $(share) stands for is the folder that holds config/bringup."""
_ARGUMENT_KEYS = {"type", "default", "description", "choices"}


@dataclass(frozen=True)
class Argument:
    """One argument of a bring-up file."""

    name: str
    default: Any
    description: str
    kind: str = "string"
    choices: tuple[str, ...] = ()

    def read(self, text: str) -> Any:
        """The typed value of what a user wrote.

        Raises:
            BringUpError: If it is not of the argument's type or not among its choices.
        """
        try:
            value = self._typed(text)
        except (ValueError, KeyError) as error:
            raise BringUpError(f"argument {self.name} must be of type {self.kind}, got {text!r}") from error
        if self.choices and value not in self.choices:
            raise BringUpError(f"argument {self.name} must be one of {', '.join(self.choices)}, got {text!r}")
        return value

    def _typed(self, text: str) -> Any:
        if self.kind == "integer":
            return int(text)
        if self.kind == "number":
            number = float(text)
            if not math.isfinite(number):
                raise ValueError(text)
            return number
        if self.kind == "boolean":
            return _BOOLEANS[text.lower()]
        if self.kind == "bundle":
            return str(find_bundle(text))
        if self.kind == "robot":
            return str(find_robot(text))
        if self.kind == "path" and text:
            return str(Path(text).expanduser().absolute())
        return text


@dataclass(frozen=True)
class NodeSpec:
    """One process to start.

    Attributes:
        spectator: Whether nothing else ends when it ends.
        arguments: Words on its command line before those of ROS.
    """

    name: str
    package: str
    executable: str
    namespace: str = ""
    managed: bool = False
    respawn: bool = False
    spectator: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remappings: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


def _read_bounded(path: Path) -> str:
    """The text of a file, or an OSError if it is larger than any bring-up file: YAML takes minutes to say so."""
    with path.open("rb") as file:
        data = file.read(LARGEST_FILE_BYTES + 1)
    if len(data) > LARGEST_FILE_BYTES:
        raise OSError(f"it has more than the allowed {LARGEST_FILE_BYTES} bytes")
    return data.decode("utf-8")


class BringUp:
    """A bring-up file.

    Attributes:
        path: Where it was read from.
        description: One sentence.
        arguments: What can be set, by name.
    """

    def __init__(self, path: Path) -> None:
        """Reads a file.

        Raises:
            BringUpError: If it cannot be read or has unknown or missing keys.
        """
        self.path = path
        try:
            content = yaml.safe_load(_read_bounded(path))
        except (OSError, UnicodeError, RecursionError, yaml.YAMLError) as error:
            raise BringUpError(f"cannot read bring-up file {path}: {error}") from error
        if not isinstance(content, dict) or not isinstance(content.get("nodes"), list):
            raise BringUpError(f"bring-up file {path} must be a mapping with a list of nodes")
        self.description = str(content.get("description", ""))
        self.arguments = {
            name: self._argument(name, row) for name, row in (content.get("arguments") or {}).items()
        }
        self._nodes = [self._checked_node(row) for row in content["nodes"]]

    def resolve(self, given: Mapping[str, str]) -> list[NodeSpec]:
        """The processes to start, in order; the lifecycle manager of the managed ones comes last.

        Args:
            given: Values of arguments as text, by name; others keep their default.

        Raises:
            BringUpError: If an argument is unknown or its value not allowed.
        """
        values = self.values(given)
        specs = [self._spec(row, values) for row in self._nodes if _holds(row.get("if", True), values)]
        managed = [spec.name for spec in specs if spec.managed]
        if managed:
            specs.append(manager_of(managed, str(values.get("namespace", ""))))
        return specs

    def values(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Typed values of all arguments.

        Raises:
            BringUpError: If an argument is unknown or its value not allowed.
        """
        unknown = sorted(set(given) - set(self.arguments))
        if unknown:
            known = ", ".join(self.arguments) or "none"
            raise BringUpError(f"unknown argument {', '.join(unknown)}; {self.path.stem} takes: {known}")
        return {
            name: argument.read(str(given.get(name, argument.default)))
            for name, argument in self.arguments.items()
        }

    def _spec(self, row: Mapping[str, Any], values: Mapping[str, Any]) -> NodeSpec:
        return NodeSpec(
            name=row["name"],
            package=row.get("package", "pitaya_nodes"),
            executable=row["executable"],
            namespace=str(values.get("namespace", "")),
            managed=bool(row.get("managed", False)),
            respawn=bool(row.get("respawn", False)),
            spectator=bool(row.get("spectator", False)),
            parameters=_substitute(row.get("parameters") or {}, values),
            remappings=_substitute(row.get("remappings") or {}, values),
            arguments=tuple(
                map(
                    str,
                    _substitute(
                        row.get("arguments") or [], {**values, SHARE: self.path.absolute().parents[2]}
                    ),
                )
            ),
        )

    def _argument(self, name: str, row: Any) -> Argument:
        if not isinstance(row, dict) or "default" not in row or set(row) - _ARGUMENT_KEYS:
            raise BringUpError(
                f"{self.path}: argument {name} must have a default and no keys but {_ARGUMENT_KEYS}"
            )
        kind = row.get("type", "string")
        if kind not in _KINDS:
            raise BringUpError(f"{self.path}: type of argument {name} must be one of {_KINDS}, got {kind!r}")
        choices = tuple(str(choice) for choice in row.get("choices", ()))
        return Argument(name, row["default"], str(row.get("description", "")), kind, choices)

    def _checked_node(self, row: Any) -> dict[str, Any]:
        if not isinstance(row, dict) or not {"name", "executable"} <= set(row) or set(row) - _NODE_KEYS:
            raise BringUpError(
                f"{self.path}: a node has name, executable and no keys but {sorted(_NODE_KEYS)}, got {row}"
            )
        return row


def manager_of(names: Sequence[str], namespace: str) -> NodeSpec:
    """The lifecycle manager that configures and activates these nodes."""
    return NodeSpec(MANAGER, "pitaya_nodes", MANAGER, namespace, parameters={"nodes": list(names)})


def find_bringup(name: str) -> BringUp:
    """The bring-up file of that name in the installed configuration, or the file at that path.

    Raises:
        BringUpError: If there is none; names those that there are.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return BringUp(path)
    folder = share_directory() / "config" / "bringup"
    candidate = folder / f"{name}.yaml"
    if not candidate.is_file():
        known = ", ".join(sorted(item.stem for item in folder.glob("*.yaml"))) or "none"
        raise BringUpError(f"unknown bring-up {name!r}; known: {known}. A path to a .yaml file works too.")
    return BringUp(candidate)


def find_bundle(text: str) -> Path:
    """Absolute path of a bundle: as given if it exists, else as installed with the bring-up package, else as given.

    A workspace built with links holds links to the files of a bundle, which bundles refuse; then it is the place
    they point to.
    """
    path = Path(text).expanduser()
    if path.is_absolute() or path.exists():
        return path.absolute()
    try:
        manifest = share_directory() / path / MANIFEST_FILE
    except BringUpError:
        return path.absolute()
    return manifest.resolve().parent if manifest.exists() else path.absolute()


def share_directory() -> Path:
    """Where the bring-up package is installed.

    Raises:
        BringUpError: If it is not.
    """
    try:
        return Path(get_package_share_directory(BRINGUP_PACKAGE))
    except (PackageNotFoundError, LookupError, ValueError) as error:
        raise BringUpError(
            f"ROS package {BRINGUP_PACKAGE} is not on the path: build the workspace and source it"
        ) from error


def _holds(condition: Any, values: Mapping[str, Any]) -> bool:
    """Whether a condition holds; of a list, whether all of them do."""
    if isinstance(condition, list):
        return all([_holds(item, values) for item in condition])
    result = _substitute(condition, values)
    if not isinstance(result, bool):
        raise BringUpError(f"condition {condition!r} must be true or false, got {result!r}")
    return result


def _substitute(value: Any, values: Mapping[str, Any]) -> Any:
    """Replaces $(...) in texts, also inside lists and mappings; a text that is one $(...) keeps its type."""
    if isinstance(value, dict):
        return {key: _substitute(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_substitute(item, values) for item in value]
    if not isinstance(value, str):
        return value
    whole = _SUBSTITUTION.fullmatch(value)
    if whole:
        return _evaluate(whole.group(1), values)
    return _SUBSTITUTION.sub(lambda match: str(_evaluate(match.group(1), values)), value)


def _evaluate(expression: str, values: Mapping[str, Any]) -> Any:
    comparison = _COMPARISON.fullmatch(expression.strip())
    name = comparison.group(1) if comparison else expression.strip()
    if name not in values:
        raise BringUpError(f"$({expression}) names no argument; there are {', '.join(values) or 'none'}")
    if not comparison:
        return values[name]
    return (str(values[name]) == comparison.group(3)) == (comparison.group(2) == "==")
