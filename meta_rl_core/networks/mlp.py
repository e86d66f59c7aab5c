# SPDX-License-Identifier: Apache-2.0
"""Multi-layer perceptrons that can write themselves down as a layer list for a bundle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from meta_rl_core.networks.fused_mlp import FEWEST_ROWS, can_fuse, fused_mlp, shape_of
from meta_rl_core.networks.input_scale import InputScale

ROUND_WIDTH = 16
MANY_ROWS = 512
"""From here on a matrix product of a width like 300 takes up to 1.4 times as long as one of 304."""


class MLP(nn.Module):
    """Linear layers with ReLU between them, optionally layer-normalised.

    Initialised as in the paper's published code: hidden weights uniform within +-1/sqrt(width), hidden bias
    0.1, last layer uniform within +-`last_layer_scale`.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        *,
        layer_norm: bool = False,
        last_layer_scale: float = 3e-3,
        generator: torch.Generator,
        observations_at: Sequence[int] = (),
    ) -> None:
        """Builds the layers; `generator` draws every initial weight.

        Where inputs hold observations that are to be scaled, `observations_at` says at which places they begin.
        """
        super().__init__()
        self.input_scale = InputScale(inputs, observations_at) if observations_at else None
        layers: list[nn.Module] = []
        width = inputs
        for size in hidden:
            layers.append(linear(width, size, 1.0 / math.sqrt(size), 0.1, generator))
            if layer_norm:
                layers.append(nn.LayerNorm(size))
            layers.append(nn.ReLU())
            width = size
        layers.append(linear(width, outputs, last_layer_scale, None, generator))
        self.layers = nn.Sequential(*layers)
        self.shape = shape_of(self.layers)
        self.native = False

    def forward(self, inputs: Tensor, *, fixed: bool = False) -> Tensor:
        """Maps (..., inputs) to (..., outputs); with `fixed` the weights count as constants.

        The last layer always runs in float32: under reduced precision a value near 50 would be rounded by 0.25.
        """
        *hidden_layers, last = self.layers
        hidden = inputs if self.input_scale is None else self.input_scale(inputs)
        if self.shape is not None and self._runs_natively(hidden):
            learnt = [layer for layer in self.layers if isinstance(layer, nn.Linear | nn.LayerNorm)]
            parameters = [value for layer in learnt for value in _parameters(layer, fixed=fixed)]
            reduced = torch.is_autocast_enabled(inputs.device.type)
            return fused_mlp(hidden, self.shape, parameters, bfloat16=reduced)
        filled = self._fills_up(inputs)
        for layer in hidden_layers:
            if isinstance(layer, nn.Linear):
                hidden = apply_linear(layer, hidden, fixed=fixed, filled=filled)
            elif isinstance(layer, nn.LayerNorm):
                hidden = apply_norm(layer, hidden, fixed=fixed)
            else:
                hidden = hidden.relu()
        with torch.autocast(hidden.device.type, enabled=False):
            return apply_linear(last, hidden.to(inputs.dtype), fixed=fixed)

    def _runs_natively(self, inputs: Tensor) -> bool:
        fits = inputs.device.type == "cpu" and inputs.dtype == torch.float32
        many = inputs.numel() >= FEWEST_ROWS * inputs.shape[-1]
        return self.native and fits and many and can_fuse(bfloat16=torch.is_autocast_enabled("cpu"))

    def _fills_up(self, inputs: Tensor) -> bool:
        """Whether hidden widths are filled up with zeros; in float32 alone, reduced types gain nothing."""
        plain = all(isinstance(layer, nn.Linear | nn.ReLU) for layer in self.layers)
        many = inputs.numel() >= MANY_ROWS * inputs.shape[-1]
        return plain and many and not torch.is_autocast_enabled(inputs.device.type)

    def describe(self) -> list[dict[str, Any]]:
        """The layer list a bundle stores, in order."""
        return [_describe(layer) for layer in self.layers]

    def export_weights(self, prefix: str) -> dict[str, NDArray[np.float32]]:
        """Weights as float32 arrays named `<prefix>.<layer index>.<weight|bias>`, for inputs as they are."""
        tensors = {name: value.detach().cpu().float() for name, value in self.layers.state_dict().items()}
        if self.input_scale is not None:
            names = ("0.weight", "0.bias")
            folded = self.input_scale.cpu().folded(*(tensors[name] for name in names))
            tensors.update(zip(names, folded, strict=True))
        return {f"{prefix}.{name}": value.numpy().copy() for name, value in tensors.items()}


def use_native(network: nn.Module, native: bool) -> None:
    """Lets every MLP within `network` run in C++ where it can, or none."""
    for module in network.modules():
        if isinstance(module, MLP):
            module.native = native


def _parameters(layer: nn.Linear | nn.LayerNorm, *, fixed: bool) -> tuple[Tensor, Tensor]:
    return (layer.weight.detach(), layer.bias.detach()) if fixed else (layer.weight, layer.bias)


def apply_norm(layer: nn.Module, inputs: Tensor, *, fixed: bool) -> Tensor:
    """One layer normalisation; with `fixed` its weights count as constants."""
    assert isinstance(layer, nn.LayerNorm)
    weight, bias = _parameters(layer, fixed=fixed)
    return functional.layer_norm(inputs, layer.normalized_shape, weight, bias, layer.eps)


def apply_linear(layer: nn.Module, inputs: Tensor, *, fixed: bool, filled: bool = False) -> Tensor:
    """One linear layer; if `filled`, with zeros for inputs that a filled layer before it added, and for its own.

    An added unit has no weights and no bias, so that it stays 0 and adds nothing further on.
    """
    assert isinstance(layer, nn.Linear)
    weight, bias = _parameters(layer, fixed=fixed)
    added_inputs = inputs.shape[-1] - layer.in_features
    added_outputs = -layer.out_features % ROUND_WIDTH if filled and layer.out_features > ROUND_WIDTH else 0
    if added_inputs or added_outputs:
        weight = functional.pad(weight, (0, added_inputs, 0, added_outputs))
    if added_outputs:
        bias = functional.pad(bias, (0, added_outputs))
    return functional.linear(inputs, weight, bias)


def linear(
    inputs: int, outputs: int, weight_scale: float, bias: float | None, generator: torch.Generator
) -> nn.Linear:
    """A layer with weights uniform within +-`weight_scale`, and biases as well unless `bias` says what they are."""
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.uniform_(-weight_scale, weight_scale, generator=generator)
        if bias is None:
            layer.bias.uniform_(-weight_scale, weight_scale, generator=generator)
        else:
            layer.bias.fill_(bias)
    return layer


def _describe(layer: nn.Module) -> dict[str, Any]:
    if isinstance(layer, nn.Linear):
        return {"kind": "linear", "in": layer.in_features, "out": layer.out_features}
    if isinstance(layer, nn.LayerNorm):
        return {"kind": "layer_norm", "size": int(layer.normalized_shape[0]), "epsilon": layer.eps}
    if isinstance(layer, nn.ReLU):
        return {"kind": "relu"}
    raise TypeError(f"a bundle cannot hold a {type(layer).__name__} layer")
