# SPDX-License-Identifier: Apache-2.0
"""Runs a whole multi-layer perceptron in C++, forwards and backwards, in place of one PyTorch operation after another.

Hidden layers multiply in bfloat16 or in float32. What lies between the layers stays in the processor's cache, and bias,
layer normalisation, ReLU and rounding happen on the way: beside products in bfloat16 PyTorch's passes over all
activations take about as long as the products. Where weights are fixed the way back leaves out rows whose gradient is
zero, half of them where the smaller of two critics is taken.
"""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from meta_rl_core.networks.native_library import native_library, openmp_parallel

FEWEST_ROWS = 128
"""Below, packing the weights takes longer than it is worth."""
_ALLOWED_ERRORS = {True: 0.05, False: 1e-4}
"""Of outputs and gradients together, relative, in bfloat16 and in float32: rounding to bfloat16 makes about 0.01 of a
small network, another order of sums in float32 less than 1e-6."""
_Pointer = ctypes.c_void_p


class Shape(NamedTuple):
    """What a network looks like, apart from its parameters."""

    widths: tuple[int, ...]
    """Of inputs, hidden layers and outputs."""
    normalised: bool
    """Whether hidden layers are normalised."""
    epsilon: float
    """Added to variances where they are."""


class _Network(ctypes.Structure):
    _fields_ = (
        ("rows", ctypes.c_int64),
        ("layers", ctypes.c_int64),
        ("widths", _Pointer),
        ("parameters", _Pointer),
        ("normalised", ctypes.c_int64),
        ("epsilon", ctypes.c_float),
        ("threads", ctypes.c_int64),
        ("kept", ctypes.c_int64),
        ("parallel", _Pointer),
    )


class _Call:
    """A network of the library, and the memory that it points to for as long as a call takes."""

    def __init__(self, shape: Shape, parameters: Sequence[Tensor], rows: int, *, kept: bool) -> None:
        self._widths = _widths(shape)
        self._parameters = _pointers(parameters)
        self.network = _Network(
            rows,
            len(shape.widths) - 1,
            ctypes.cast(self._widths, _Pointer),
            ctypes.cast(self._parameters, _Pointer),
            shape.normalised,
            shape.epsilon,
            torch.get_num_threads(),
            kept,
            openmp_parallel(),
        )
        self.reference = ctypes.byref(self.network)


class _FusedMLP(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, shape: Shape, bfloat16: bool, *parameters: Tensor) -> Tensor:
        outputs, saved = _forward(inputs, shape, parameters, bfloat16=bfloat16, kept=True)
        ctx.save_for_backward(saved, *parameters)
        ctx.settings = shape, bfloat16, len(inputs)
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, output_gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved, *parameters = ctx.saved_tensors
        shape, bfloat16, rows = ctx.settings
        wants_inputs, wants_parameters = ctx.needs_input_grad[0], any(ctx.needs_input_grad[3:])
        input_gradients = torch.empty(rows, shape.widths[0]) if wants_inputs else None
        gradients = [torch.empty_like(parameter) for parameter in parameters if wants_parameters]
        call = _Call(shape, parameters, rows, kept=True)
        _library(bfloat16=bfloat16).pitaya_backward(
            call.reference,
            _Pointer(saved.data_ptr()),
            _Pointer(output_gradients.contiguous().data_ptr()),
            None if input_gradients is None else _Pointer(input_gradients.data_ptr()),
            _pointers(gradients) if gradients else None,
        )
        return (input_gradients, None, None, *(gradients or (None for _ in parameters)))


def fused_mlp(inputs: Tensor, shape: Shape, parameters: Sequence[Tensor], *, bfloat16: bool) -> Tensor:
    """Outputs of shape (..., O) for inputs of shape (..., I), float32 on the CPU.

    Args:
        inputs: The first layer's inputs.
        shape: Widths and normalisation.
        parameters: Of each layer weight, bias and, of normalised hidden layers, scale and shift; float32, contiguous.
        bfloat16: Whether hidden layers multiply in bfloat16; else in float32.
    """
    rows = inputs.reshape(-1, shape.widths[0]).contiguous()
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (rows, *parameters)):
        outputs: Tensor = _FusedMLP.apply(rows, shape, bfloat16, *parameters)
    else:
        outputs, _ = _forward(rows, shape, parameters, bfloat16=bfloat16, kept=False)
    return outputs.reshape(*inputs.shape[:-1], shape.widths[-1])


@lru_cache
def can_fuse(*, bfloat16: bool) -> bool:
    """Whether the library is there and agrees with PyTorch on a small network; one warning says so if it does not."""
    if native_library(bfloat16=bfloat16) is None:
        return False
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):  # whatever the caller is about
        agrees = _agrees(bfloat16=bfloat16)
    if not agrees:
        warnings.warn(
            "the networks built for this processor do not compute what PyTorch does, and are not used",
            RuntimeWarning,
            stacklevel=2,
        )
    return agrees


def _library(*, bfloat16: bool) -> ctypes.CDLL:
    library = native_library(bfloat16=bfloat16)
    assert library is not None, "asked for a network of a library that is not there"
    return library


def _forward(
    inputs: Tensor, shape: Shape, parameters: Sequence[Tensor], *, bfloat16: bool, kept: bool
) -> tuple[Tensor, Tensor]:
    """Outputs, and what the way back needs if `kept`."""
    call = _Call(shape, parameters, len(inputs), kept=kept)
    library = _library(bfloat16=bfloat16)
    saved = torch.empty(library.pitaya_saved_bytes(call.reference), dtype=torch.uint8)
    outputs = torch.empty(len(inputs), shape.widths[-1])
    library.pitaya_forward(
        call.reference,
        _Pointer(inputs.data_ptr()),
        _Pointer(saved.data_ptr()),
        _Pointer(outputs.data_ptr()),
    )
    return outputs, saved


@lru_cache
def _widths(shape: Shape) -> ctypes.Array[ctypes.c_int64]:
    """They are read and never written to."""
    return (ctypes.c_int64 * len(shape.widths))(*shape.widths)


def _pointers(tensors: Sequence[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    return (_Pointer * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


def _agrees(*, bfloat16: bool) -> bool:
    """Whether outputs and all gradients of a small network are those of PyTorch, as far as rounding allows."""
    generator = torch.Generator().manual_seed(0)
    shape = Shape((5, 48, 40, 3), normalised=True, epsilon=1e-5)
    parameters = [
        (0.3 * torch.randn(size, generator=generator)).requires_grad_()
        for width, outputs in zip(shape.widths, shape.widths[1:], strict=False)
        for size in ((outputs, width), *[(outputs,)] * (1 if outputs == shape.widths[-1] else 3))
    ]
    inputs = torch.randn(70, 5, generator=generator, requires_grad=True)
    weights = torch.randn(70, 3, generator=generator)
    wanted, got = (
        torch.cat([part.flatten() for part in (outputs, *torch.autograd.grad(loss, (inputs, *parameters)))])
        for outputs in (
            _plain(inputs, shape, parameters),
            fused_mlp(inputs, shape, parameters, bfloat16=bfloat16),
        )
        for loss in [(outputs * weights).sum()]
    )
    error = (got - wanted).norm() / wanted.norm()
    return bool(error < _ALLOWED_ERRORS[bfloat16])


def _plain(inputs: Tensor, shape: Shape, parameters: Sequence[Tensor]) -> Tensor:
    """The same network as PyTorch."""
    remaining, hidden = list(parameters), inputs
    for width in shape.widths[1:-1]:
        weight, bias, scale, shift, *remaining = remaining
        hidden = functional.linear(hidden, weight, bias)
        hidden = functional.layer_norm(hidden, (width,), scale, shift, shape.epsilon).relu()
    return functional.linear(hidden, *remaining)


def shape_of(layers: nn.Sequential) -> Shape | None:
    """The shape of linear layers with ReLU, each after a normalisation or none, before a last linear one; else None."""
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    norms = [layer for layer in layers if isinstance(layer, nn.LayerNorm)]
    hidden = len(linear) - 1
    pattern = ["Linear", *(["LayerNorm"] if norms else []), "ReLU"] * hidden + ["Linear"]
    if hidden < 1 or [type(layer).__name__ for layer in layers] != pattern:
        return None
    widths = (linear[0].in_features, *(layer.out_features for layer in linear))
    return Shape(widths, normalised=bool(norms), epsilon=norms[0].eps if norms else 0.0)
