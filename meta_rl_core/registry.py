# SPDX-License-Identifier: Apache-2.0
"""Finds families, reward models, plants and commands by name, through Python entry points.

The core never imports a simulator or a user's package; whoever is installed announces itself.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, cast

from meta_rl_core.errors import ContractError, InvalidValueError, PitayaError, UnknownNameError
from meta_rl_core.tasks import FamilySpec, RewardModel, TaskFamily

LABELS = {"families": "task family", "rewards": "reward model", "plants": "plant", "commands": "command"}
PACKAGES = "PITAYA_PACKAGES"
"""Environment variable with the packages, separated by commas, that files may name too."""
EXTRAS = {
    "torch": "train",
    "mujoco": "sim",
    "gymnasium": "sim",
    "matplotlib": "plot",
    "rosbags": "record",
    "dynamixel_sdk": "hardware",
    "serial": "hardware",
}
"""Packages that not every installation has, and the extra that brings each; the command line names it."""


def registered_names(kind: str) -> list[str]:
    """Names registered under `pitaya.<kind>`, sorted; kinds are families, rewards, plants, commands."""
    return sorted({entry.name for entry in entry_points(group=f"pitaya.{kind}")})


def load_registered(kind: str, name: str, *, from_file: bool = False) -> Any:
    """The object registered as `name`, or the attribute a 'package.module:Attribute' name points at.

    Args:
        kind: One of `LABELS`.
        name: The name.
        from_file: Whether a file brought the name along. Importing a module runs it, so a file may name only what
            is registered, and what lies in a package that a person listed in `PACKAGES`.

    Raises:
        UnknownNameError: If there is no such name, module or attribute.
        InvalidValueError: If a file names what only a person may name.
        ContractError: If the module is there but cannot be imported.
    """
    for entry in entry_points(group=f"pitaya.{kind}"):
        if entry.name == name:
            return entry.load()
    module_name, separator, attribute = name.partition(":")
    if not separator:
        raise UnknownNameError(LABELS.get(kind, kind), name, registered_names(kind))
    package = module_name.partition(".")[0]
    if from_file and package not in os.environ.get(PACKAGES, "").split(","):
        raise InvalidValueError(
            f"a file names the {LABELS.get(kind, kind)} {name!r}, which nobody registered; importing it would run it. "
            f"If you trust package {package!r}, set {PACKAGES}={package}"
        )
    module = _import(kind, name, module_name)
    if not hasattr(module, attribute):
        reason = f"the module {module_name!r} has no {attribute!r}"
        raise UnknownNameError(LABELS.get(kind, kind), name, registered_names(kind), reason)
    return getattr(module, attribute)


def _import(kind: str, name: str, module_name: str) -> ModuleType:
    """The module; one that is not there is told apart from one that is and fails."""
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise UnknownNameError(LABELS.get(kind, kind), name, registered_names(kind))
    with _told(f"importing {module_name!r} for the {LABELS.get(kind, kind)} {name!r}"):
        try:
            return import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise
            raise UnknownNameError(
                LABELS.get(kind, kind), name, registered_names(kind), str(error)
            ) from error


@contextmanager
def _told(doing: str) -> Iterator[None]:
    """What code of others raises becomes one sentence that says what and where; the cause stays chained."""
    try:
        yield
    except PitayaError:
        raise
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if (missing or "").partition(".")[0] in EXTRAS:
            raise
        raise ContractError(f"{doing} raised {type(error).__name__}: {error}{_place(error)}") from error


def _place(error: Exception) -> str:
    """File and line in the code of others that raised, where Python's own words do not tell them."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and "importlib" not in frame.filename
    ]
    if isinstance(error, SyntaxError) or not frames:
        return ""
    return f" ({frames[-1].filename}, line {frames[-1].lineno})"


def load_family(name: str, *, from_file: bool = False) -> TaskFamily:
    """Builds the family registered as `name` (or 'package.module:factory'); see `load_registered`.

    Raises:
        UnknownNameError: If nobody registered it.
        InvalidValueError: If a file names what only a person may name.
        ContractError: If it cannot be imported or made, is no `TaskFamily`, or lacks its spec or reward model.
    """
    family = cast(TaskFamily, _build("families", name, TaskFamily, from_file))
    for attribute, kind in (("spec", FamilySpec), ("reward_model", RewardModel)):
        got = getattr(family, attribute, None)
        if not isinstance(got, kind):
            raise ContractError(
                f"the task family {name!r} must set `{attribute}` to a {kind.__name__} when it is made, got "
                f"{'nothing' if got is None else type(got).__name__}"
            )
    return family


def load_reward(name: str, *, from_file: bool = False) -> RewardModel:
    """Builds the reward model registered as `name` (or 'package.module:factory'); see `load_registered`.

    Raises:
        UnknownNameError: If nobody registered it.
        InvalidValueError: If a file names what only a person may name.
        ContractError: If it cannot be imported or made, or is no `RewardModel`.
    """
    return cast(RewardModel, _build("rewards", name, RewardModel, from_file))


def _build(kind: str, name: str, expected: type, from_file: bool) -> object:
    with _told(f"making the {LABELS[kind]} {name!r}"):
        made = load_registered(kind, name, from_file=from_file)()
    if not isinstance(made, expected):
        raise ContractError(f"{name!r} must build a {expected.__name__}, got {type(made).__name__}")
    return made
