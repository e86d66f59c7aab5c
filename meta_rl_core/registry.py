# SPDX-License-Identifier: Apache-2.0
"""Finds families, reward models, plants and commands by name, through Python entry points.

The core never imports a simulator or a user's package; whoever is installed announces itself.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, cast

from meta_rl_core.errors import ContractError, InvalidValueError, UnknownNameError
from meta_rl_core.tasks import RewardModel, TaskFamily

LABELS = {"families": "task family", "rewards": "reward model", "plants": "plant", "commands": "command"}


PACKAGES = "PITAYA_PACKAGES"
"""Environment variable with the packages, separated by commas, that files may name too."""


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
    try:
        return getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UnknownNameError(LABELS.get(kind, kind), name, registered_names(kind)) from error


def load_family(name: str, *, from_file: bool = False) -> TaskFamily:
    """Builds the family registered as `name` (or 'package.module:factory'); see `load_registered`.

    Raises:
        UnknownNameError: If nobody registered it.
        InvalidValueError: If a file names what only a person may name.
        ContractError: If the factory does not make a `TaskFamily`.
    """
    return cast(TaskFamily, _build("families", name, TaskFamily, from_file))


def load_reward(name: str, *, from_file: bool = False) -> RewardModel:
    """Builds the reward model registered as `name` (or 'package.module:factory'); see `load_registered`.

    Raises:
        UnknownNameError: If nobody registered it.
        InvalidValueError: If a file names what only a person may name.
        ContractError: If the factory does not make a `RewardModel`.
    """
    return cast(RewardModel, _build("rewards", name, RewardModel, from_file))


def _build(kind: str, name: str, expected: type, from_file: bool) -> object:
    made = load_registered(kind, name, from_file=from_file)()
    if not isinstance(made, expected):
        raise ContractError(f"{name!r} must build a {expected.__name__}, got {type(made).__name__}")
    return made
