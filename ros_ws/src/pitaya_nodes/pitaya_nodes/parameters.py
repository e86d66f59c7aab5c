# SPDX-License-Identifier: Apache-2.0
"""Parameters declared once: name, default, one sentence, allowed values; documentation is made from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter


@dataclass(frozen=True)
class Setting:
    """One parameter of a node.

    Attributes:
        name: Parameter name, with unit suffix where it has a unit.
        default: Value when nobody sets it, whose type is the parameter's type; or a type, for no value.
        description: One sentence.
        low: Smallest allowed number, or None.
        high: Largest allowed number, or None.
        choices: Allowed words, or empty for any.
        fixed: Only settable at start-up.
    """

    name: str
    default: Any
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    fixed: bool = True

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        if self.choices:
            return " or ".join(self.choices)
        if self.low is not None and self.high is not None:
            return f"{self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"at least {self.low:g}"
        return "finite numbers" if self.default is Parameter.Type.DOUBLE_ARRAY else "any"

    @property
    def kind(self) -> str:
        """The parameter's type in ROS words."""
        if isinstance(self.default, Parameter.Type):
            return self.default.name.lower().replace("_array", "[]")
        return {bool: "bool", int: "integer", float: "double", str: "string"}[type(self.default)]

    def descriptor(self) -> ParameterDescriptor:
        """What `ros2 param describe` shows and rcl enforces."""
        message = ParameterDescriptor(description=self.description, read_only=self.fixed)
        if self.choices:
            message.additional_constraints = f"one of {', '.join(self.choices)}"
        if isinstance(self.default, bool) or (self.low is None and self.high is None):
            return message
        if isinstance(self.default, int):
            least = -(2**63) if self.low is None else int(self.low)
            most = 2**63 - 1 if self.high is None else int(self.high)
            message.integer_range = [IntegerRange(from_value=least, to_value=most, step=0)]
        elif isinstance(self.default, float):
            low = -math.inf if self.low is None else self.low
            high = math.inf if self.high is None else self.high
            message.floating_point_range = [FloatingPointRange(from_value=low, to_value=high, step=0.0)]
        return message

    def complaint(self, value: Any) -> str:
        """Why a value is not allowed, or an empty text; number ranges are left to rcl."""
        if self.choices and value not in self.choices:
            return f"{self.name} must be one of {', '.join(self.choices)}, got {value!r}"
        if isinstance(value, float) and not math.isfinite(value):
            return f"{self.name} must be finite, got {value}"
        if isinstance(value, Sequence) and any(isinstance(x, float) and not math.isfinite(x) for x in value):
            return f"{self.name} must hold finite numbers, got {list(value)}"
        return ""


def declare_settings(node: Node, settings: Iterable[Setting]) -> None:
    """Declares the parameters of a node; from then on a value that is not allowed is refused with the reason.

    Raises:
        rclpy.exceptions.InvalidParameterValueException: If a value given at start-up is not allowed.
    """
    known = {setting.name: setting for setting in settings}

    def check(changes: list[Parameter]) -> SetParametersResult:
        complaints = [known[p.name].complaint(p.value) for p in changes if p.name in known]
        reason = "; ".join(filter(None, complaints))
        return SetParametersResult(successful=not reason, reason=reason)

    node.add_on_set_parameters_callback(check)
    for setting in known.values():
        node.declare_parameter(setting.name, setting.default, setting.descriptor())
