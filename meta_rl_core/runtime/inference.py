# SPDX-License-Identifier: Apache-2.0
"""Runs layer-list networks in NumPy, without torch, threads or large allocations.

Weights are stored in float32 and computed with in float64, so that rounding stays far below the 1e-5 that the
golden vectors allow against torch. Matrix-vector products go through `numpy.einsum` and not through a BLAS:
its single-threaded loop keeps one summation order, so the same input gives the same bits whatever the number
of threads or the BLAS that NumPy was built with, and no thread pool wakes up on the control path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.belief import MINIMUM_VARIANCE
from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.layers import Layer, chain_sizes, parameter_shapes

Array = NDArray[np.float64]
Weights = Mapping[str, Array]
_Step = Callable[[Array], Array]


class Network:
    """The forward pass of one network. Owns its scratch memory: one instance per thread."""

    def __init__(self, layers: Sequence[Layer], weights: Weights, prefix: str) -> None:
        """Binds layers to weights.

        Args:
            layers: What to compute, in order.
            weights: Arrays named as `parameter_shapes(layers, prefix)` names them; float64 ones are shared.
            prefix: First part of the names, such as `actor`.

        Raises:
            InvalidValueError: If a weight is missing or has another shape.
        """
        self.input_dim, self.output_dim = chain_sizes(layers, prefix)
        for name, shape in parameter_shapes(layers, prefix).items():
            if name not in weights or weights[name].shape != shape:
                got = weights[name].shape if name in weights else "nothing"
                raise InvalidValueError(f"weight {name} must have shape {shape}, got {got}")
        arrays = {name: np.ascontiguousarray(value, dtype=np.float64) for name, value in weights.items()}
        self._steps = _compile(layers, arrays, prefix, self.input_dim)
        self._batch_layers, self._arrays, self._prefix = tuple(layers), arrays, prefix
        self._input: Array = np.empty(self.input_dim)

    def __call__(self, inputs: Array) -> Array:
        """Output of shape (..., output_dim) for inputs of shape (..., input_dim).

        Every row gives the same bits alone and in a batch.

        Raises:
            InvalidValueError: If the last dimension does not fit.
        """
        inputs = np.asarray(inputs, dtype=np.float64)
        if inputs.ndim == 0 or inputs.shape[-1] != self.input_dim:
            raise InvalidValueError(
                f"{self._prefix} takes {self.input_dim} numbers, got shape {inputs.shape}"
            )
        if inputs.ndim == 1:
            return self._row(inputs).copy()
        outputs = np.empty((*inputs.shape[:-1], self.output_dim))
        for row in np.ndindex(inputs.shape[:-1]):
            outputs[row] = self._row(inputs[row])
        return outputs

    def batch(self, inputs: Array) -> Array:
        """As calling, through matrix products: faster for many rows, equal to rounding but not to the bit."""
        values = np.asarray(inputs, dtype=np.float64)
        if values.ndim == 0 or values.shape[-1] != self.input_dim:
            raise InvalidValueError(
                f"{self._prefix} takes {self.input_dim} numbers, got shape {values.shape}"
            )
        return _batch(self._batch_layers, self._arrays, self._prefix, values)

    def _row(self, inputs: Array) -> Array:
        np.copyto(self._input, inputs)
        values = self._input
        for step in self._steps:
            values = step(values)
        return values


def _compile(layers: Sequence[Layer], weights: Weights, prefix: str, width: int) -> list[_Step]:
    """One step per layer, each writing into memory of its own."""
    steps: list[_Step] = []
    for index, layer in enumerate(layers):
        name = f"{prefix}.{index}"
        width = width if layer.outputs is None else layer.outputs
        out = np.empty(width)
        if layer.kind == "affine":
            steps.append(partial(_affine, weights[f"{name}.shift"], weights[f"{name}.scale"], out))
        elif layer.kind == "linear":
            steps.append(partial(_linear, weights[f"{name}.weight"], weights[f"{name}.bias"], out))
        elif layer.kind == "layer_norm":
            weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
            steps.append(partial(_layer_norm, weight, bias, layer.epsilon, out))
        elif layer.kind == "relu":
            steps.append(partial(_relu, out))
        else:
            steps.append(partial(_residual, _compile(layer.layers, weights, name, width), out))
    return steps


def _affine(shift: Array, scale: Array, out: Array, values: Array) -> Array:
    np.subtract(values, shift, out=out)
    return np.multiply(out, scale, out=out)


def _linear(weight: Array, bias: Array, out: Array, values: Array) -> Array:
    np.einsum("oi,i->o", weight, values, out=out)
    return np.add(out, bias, out=out)


def _layer_norm(weight: Array, bias: Array, epsilon: float, out: Array, values: Array) -> Array:
    np.subtract(values, values.mean(), out=out)
    np.multiply(out, 1.0 / np.sqrt(np.square(out).mean() + epsilon), out=out)
    np.multiply(out, weight, out=out)
    return np.add(out, bias, out=out)


def _relu(out: Array, values: Array) -> Array:
    return np.maximum(values, 0.0, out=out)


def _residual(steps: list[_Step], out: Array, values: Array) -> Array:
    inner = values
    for step in steps:
        inner = step(inner)
    return np.add(values, inner, out=out)


def _batch(layers: Sequence[Layer], weights: Weights, prefix: str, values: Array) -> Array:
    for index, layer in enumerate(layers):
        name = f"{prefix}.{index}"
        if layer.kind == "affine":
            values = (values - weights[f"{name}.shift"]) * weights[f"{name}.scale"]
        elif layer.kind == "linear":
            values = values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
        elif layer.kind == "layer_norm":
            centred = values - values.mean(axis=-1, keepdims=True)
            spread = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + layer.epsilon)
            values = centred / spread * weights[f"{name}.weight"] + weights[f"{name}.bias"]
        elif layer.kind == "relu":
            values = np.maximum(values, 0.0)
        else:
            values = values + _batch(layer.layers, weights, name, values)
    return values


def gaussian_factor(outputs: Array) -> tuple[Array, Array]:
    """Factor mean and variance, each (..., latent), of encoder outputs (..., 2 * latent).

    The variance is softplus of the second half, never below 1e-7, as in the paper's published code.
    """
    mean, raw = np.split(outputs, 2, axis=-1)
    return mean, np.maximum(np.logaddexp(0.0, raw), MINIMUM_VARIANCE)


def deterministic_action(outputs: Array) -> Array:
    """Action tanh(mean), shape (..., A), of actor outputs (..., 2 * A): mean and log std side by side."""
    half = outputs.shape[-1] // 2
    return np.tanh(outputs[..., :half])
