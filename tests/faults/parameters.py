# SPDX-License-Identifier: Apache-2.0
"""Row 14: parameters that are not allowed, at every node that has parameters."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.context import Context
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

import pitaya_nodes
from pitaya_nodes.domain import ReservedDomain
from pitaya_nodes.parameters import Setting, declare_settings
from tests.faults.tally import Tally

_STARTS_SHARE = 0.02
"""Share of cases that start a node with a bad parameter: locked ones can be set in no other way."""


def bad_parameters(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 14: each case sets one bad value, alone, among good ones or at the start of a node."""
    del folder
    tally, domain, context = Tally(), ReservedDomain(), Context()
    context.init(domain_id=domain.number)
    nodes = {name: _node(name, settings, context) for name, settings in _all_settings().items()}
    names = list(nodes)
    try:
        for index in range(cases):
            name = names[index % len(names)]
            settings = _all_settings()[name]
            setting = settings[int(generator.integers(len(settings)))]
            if generator.random() < _STARTS_SHARE:
                tally.case(_at_start(name, setting, context, generator))
            else:
                tally.case(_while_running(nodes[name], settings, setting, generator))
    finally:
        for node in nodes.values():
            node.destroy_node()
        context.try_shutdown()
        domain.close()
    tally.measured = {"nodes": len(names), "parameters": sum(len(item) for item in _all_settings().values())}
    return tally


def _all_settings() -> dict[str, tuple[Setting, ...]]:
    """Every table of parameters in the package, by module."""
    if not _SETTINGS:
        for module in pkgutil.iter_modules(pitaya_nodes.__path__):
            settings = getattr(importlib.import_module(f"pitaya_nodes.{module.name}"), "SETTINGS", None)
            if settings:
                _SETTINGS[module.name] = tuple(settings)
    return _SETTINGS


_SETTINGS: dict[str, tuple[Setting, ...]] = {}


def _node(name: str, settings: Sequence[Setting], context: Context, overrides: Any = None) -> Node:
    node = Node(name, context=context, parameter_overrides=overrides or [], start_parameter_services=False)
    try:
        declare_settings(node, settings)
    except BaseException:
        node.destroy_node()
        raise
    return node


def _values(node: Node, settings: Sequence[Setting]) -> str:
    return repr([node.get_parameter_or(setting.name).value for setting in settings])


def _while_running(
    node: Node, settings: Sequence[Setting], setting: Setting, generator: np.random.Generator
) -> str:
    bad = Parameter(setting.name, value=_bad_value(setting, generator, running=True))
    changes = [bad]
    open_ones = [item for item in settings if not item.fixed and item.name != setting.name]
    if open_ones and generator.random() < 0.5:
        good = open_ones[int(generator.integers(len(open_ones)))]
        changes.insert(int(generator.integers(2)), Parameter(good.name, value=_good_value(good, node)))
    before = _values(node, settings)
    said = f"{node.get_name()}.{setting.name} = {bad.value!r}"
    try:
        result = node.set_parameters_atomically(changes)
    except Exception as error:  # what the row counts
        return f"{said}: {type(error).__name__}: {error}"
    if _values(node, settings) != before:
        return f"{said}: something changed"
    if result.successful:
        return f"{said}: accepted"
    return "" if result.reason else f"{said}: refused without a reason"


def _at_start(name: str, setting: Setting, context: Context, generator: np.random.Generator) -> str:
    value = _bad_value(setting, generator, running=False)
    if value is None:
        return ""
    try:
        node = _node(f"{name}_start", [setting], context, [Parameter(setting.name, value=value)])
    except (InvalidParameterValueException, InvalidParameterTypeException) as error:
        return (
            "" if setting.name in str(error) else f"{name}.{setting.name}: refused without its name: {error}"
        )
    node.destroy_node()
    return f"{name}.{setting.name} = {value!r}: the node started"


def _good_value(setting: Setting, node: Node) -> Any:
    """Another allowed value, so that a change would show."""
    present = node.get_parameter_or(setting.name).value
    if setting.choices:
        return setting.choices[0] if present != setting.choices[0] else setting.choices[-1]
    if isinstance(setting.default, bool):
        return not present
    if isinstance(setting.default, float) and setting.low is not None and setting.high is not None:
        return setting.low if present != setting.low else setting.high
    return present if present is not None else [0.0]


def _bad_value(setting: Setting, generator: np.random.Generator, *, running: bool) -> Any:
    """A value that must be refused, or None if there is none; while running, any value of a locked one is."""
    wrong: list[Any] = []
    kind = setting.kind
    if kind != "string":
        wrong.append("text")
    if kind != "bool":
        wrong.append(True)
    if kind not in ("integer", "double"):
        wrong.append(7)
    if kind == "integer":
        wrong += [0.5, math.nan]
    if kind == "double":
        wrong += [1, math.nan, math.inf, -math.inf]
    if kind == "double[]":
        wrong += [[1.0, math.nan], [math.inf], ["a"]]
    low, high = setting.low, setting.high
    spread = float(generator.exponential())
    if kind == "double":
        wrong += [low - 1e-6 - spread] * 3 if low is not None else []
        wrong += [high + 1e-6 + spread] * 3 if high is not None else []
    if kind == "integer":
        wrong += [int(low) - 1 - int(1e3 * spread)] * 3 if low is not None else []
        wrong += [int(high) + 1 + int(1e3 * spread)] * 3 if high is not None else []
    if setting.choices:
        wrong += ["", setting.choices[0] + " ", setting.choices[0].upper()]
    if running and setting.fixed and not isinstance(setting.default, Parameter.Type):
        wrong.append(setting.default)
    return wrong[int(generator.integers(len(wrong)))]
