# SPDX-License-Identifier: Apache-2.0
"""Networks written down as lists of layers: which layers, their sizes, and the weights each one needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.fields import Fields

LayerKind = Literal["affine", "linear", "layer_norm", "relu", "residual"]
LAYER_KINDS: tuple[str, ...] = get_args(LayerKind)
WIDEST_LAYER = 65_536
MOST_LAYERS = 64
DEEPEST_NESTING = 4


@dataclass(frozen=True)
class Layer:
    """One layer of a network.

    Attributes:
        kind: `affine`: (x - shift) * scale; `linear`: weight x + bias; `layer_norm`: normalised over the
            whole vector, then weight and bias; `relu`; `residual`: x + layers(x).
        inputs: Length of the vector that comes in; None for `relu`, which takes any.
        outputs: Length of the vector that goes out; None for `relu`.
        epsilon: Added to the variance by `layer_norm`.
        layers: What `residual` goes around.
    """

    kind: LayerKind
    inputs: int | None = None
    outputs: int | None = None
    epsilon: float = 1e-5
    layers: tuple[Layer, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The layer as a JSON object."""
        if self.kind == "linear":
            return {"kind": self.kind, "in": self.inputs, "out": self.outputs}
        if self.kind == "layer_norm":
            return {"kind": self.kind, "size": self.inputs, "epsilon": self.epsilon}
        if self.kind == "affine":
            return {"kind": self.kind, "size": self.inputs}
        if self.kind == "residual":
            return {"kind": self.kind, "layers": [layer.to_dict() for layer in self.layers]}
        return {"kind": self.kind}

    def parameters(self, prefix: str) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the layer's weights; `prefix` is its path, such as `actor.2`."""
        if self.kind == "relu":
            return {}
        if self.kind == "residual":
            return parameter_shapes(self.layers, prefix)
        size, outputs = cast(int, self.inputs), cast(int, self.outputs)
        if self.kind == "affine":
            return {f"{prefix}.shift": (size,), f"{prefix}.scale": (size,)}
        weight = (outputs, size) if self.kind == "linear" else (size,)
        return {f"{prefix}.weight": weight, f"{prefix}.bias": (outputs,)}


def parameter_shapes(layers: Sequence[Layer], prefix: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all weights of a network; names are `<prefix>.<layer index>.<weight|bias|...>`."""
    shapes: dict[str, tuple[int, ...]] = {}
    for index, layer in enumerate(layers):
        shapes.update(layer.parameters(f"{prefix}.{index}"))
    return shapes


def read_layers(items: Sequence[Fields], where: str, depth: int = 0) -> tuple[Layer, ...]:
    """Reads a layer list and checks that each layer takes what the one before gives.

    Raises:
        InvalidValueError: If a layer is unknown, too large, or does not fit the one before.
    """
    if not 1 <= len(items) <= MOST_LAYERS or depth > DEEPEST_NESTING:
        raise InvalidValueError(
            f"{where} must have 1 to {MOST_LAYERS} layers nested at most {DEEPEST_NESTING} deep, "
            f"got {len(items)} layers at depth {depth}"
        )
    layers = tuple(_read_layer(item, depth) for item in items)
    chain_sizes(layers, where)
    return layers


def chain_sizes(layers: Sequence[Layer], where: str) -> tuple[int, int]:
    """Input and output length of a network.

    Raises:
        InvalidValueError: If a layer does not fit the one before, or none fixes the length.
    """
    first: int | None = None
    width: int | None = None
    for index, layer in enumerate(layers):
        if layer.inputs is None:
            continue
        if width is not None and layer.inputs != width:
            raise InvalidValueError(
                f"{where}: layer {index} ({layer.kind}) takes {layer.inputs} numbers and gets {width}"
            )
        first = layer.inputs if first is None else first
        width = layer.outputs
    if first is None or width is None:
        raise InvalidValueError(f"{where} has no layer that fixes its length; add a linear layer")
    return first, width


def _read_layer(fields: Fields, depth: int) -> Layer:
    kind = cast(LayerKind, fields.text("kind", LAYER_KINDS))
    if kind == "linear":
        layer = Layer(kind, fields.integer("in", 1, WIDEST_LAYER), fields.integer("out", 1, WIDEST_LAYER))
    elif kind == "layer_norm":
        size = fields.integer("size", 1, WIDEST_LAYER)
        layer = Layer(kind, size, size, fields.number("epsilon", 1e-12, 1.0))
    elif kind == "affine":
        size = fields.integer("size", 1, WIDEST_LAYER)
        layer = Layer(kind, size, size)
    elif kind == "residual":
        inner = read_layers(fields.items("layers", most=MOST_LAYERS), f"{fields.where}.layers", depth + 1)
        inputs, outputs = chain_sizes(inner, fields.where)
        if inputs != outputs:
            raise InvalidValueError(
                f"{fields.where}: a residual must keep its length, got {inputs} to {outputs}"
            )
        layer = Layer(kind, inputs, outputs, layers=inner)
    else:
        layer = Layer(kind)
    fields.finish()
    return layer
