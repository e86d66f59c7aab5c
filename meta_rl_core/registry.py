# SPDX-License-Identifier: Apache-2.0
"""Finds families, reward models, plants and commands by name, through Python entry points.

The core never imports a simulator or a user's package; whoever is installed announces itself.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, cast

from meta_rl_core.errors import ContractError, UnknownNameError
from meta_rl_core.tasks import RewardModel, TaskFamily

LABELS = {"families": "task family", "rewards": "reward model", "plants": "plant", "commands": "command"}


def registered_names(kind: str) -> list[str]:
    """Names registered under `pitaya.<kind>`, sorted; kinds are families, rewards, plants, commands."""
    return sorted({entry.name for entry in entry_points(group=f"pitaya.{kind}")})


def load_registered(kind: str, name: str) -> Any:
    """The object registered as `name`, or the attribute a 'package.module:Attribute' name points at.

    Raises:
        UnknownNameError: If there is no such name, module or attribute.
    """
    for entry in entry_points(group=f"pitaya.{kind}"):
        if entry.name == name:
            return entry.load()
    module_name, separator, attribute = name.partition(":")
    if not separator:
        raise UnknownNameError(LABELS.get(kind, kind), name, registered_names(kind))
    try:
        return getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UnknownNameError(LABELS.get(kind, kind), name, registered_names(kind)) from error


def load_family(name: str) -> TaskFamily:
    """Builds the family registered as `name` (or 'package.module:factory').

    Raises:
        UnknownNameError: If nobody registered it.
        ContractError: If the factory does not make a `TaskFamily`.
    """
    return cast(TaskFamily, _build("families", name, TaskFamily))


def load_reward(name: str) -> RewardModel:
    """Builds the reward model registered as `name` (or 'package.module:factory').

    Raises:
        UnknownNameError: If nobody registered it.
        ContractError: If the factory does not make a `RewardModel`.
    """
    return cast(RewardModel, _build("rewards", name, RewardModel))


def _build(kind: str, name: str, expected: type) -> object:
    made = load_registered(kind, name)()
    if not isinstance(made, expected):
        raise ContractError(f"{name!r} must build a {expected.__name__}, got {type(made).__name__}")
    return made
