# SPDX-License-Identifier: Apache-2.0
"""The NumPy forward pass agrees with torch and gives the same bits row by row."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.fields import Fields
from meta_rl_core.runtime.inference import Network, deterministic_action, gaussian_factor
from meta_rl_core.runtime.layers import Layer, chain_sizes, parameter_shapes, read_layers

EVERY_KIND = (
    Layer("affine", 4, 4),
    Layer("linear", 4, 8),
    Layer("layer_norm", 8, 8),
    Layer("relu"),
    Layer("residual", 8, 8, layers=(Layer("relu"), Layer("linear", 8, 8), Layer("relu"))),
    Layer("linear", 8, 6),
)


def make_weights(layers: tuple[Layer, ...], seed: int = 0) -> dict[str, NDArray[np.float64]]:
    generator = np.random.default_rng(seed)
    return {
        name: generator.normal(size=shape).astype(np.float32).astype(np.float64)
        for name, shape in parameter_shapes(layers, "net").items()
    }


def test_a_network_computed_by_hand() -> None:
    layers = (Layer("affine", 2, 2), Layer("linear", 2, 2), Layer("relu"), Layer("linear", 2, 1))
    weights = {
        "net.0.shift": np.array([1.0, 0.0]),
        "net.0.scale": np.array([2.0, 1.0]),
        "net.1.weight": np.array([[1.0, 1.0], [-1.0, 0.0]]),
        "net.1.bias": np.array([0.5, 0.0]),
        "net.3.weight": np.array([[2.0, 3.0]]),
        "net.3.bias": np.array([-1.0]),
    }
    # (3 - 1) * 2 = 4 and -1; 4 - 1 + 0.5 = 3.5 and -4 -> relu -> 3.5, 0; 2 * 3.5 - 1 = 6.
    assert Network(layers, weights, "net")(np.array([3.0, -1.0])).tolist() == [6.0]


def test_layer_norm_and_residual_by_hand() -> None:
    layers = (
        Layer("layer_norm", 2, 2, epsilon=1e-12),
        Layer("residual", 2, 2, layers=(Layer("linear", 2, 2),)),
    )
    weights = {
        "net.0.weight": np.array([1.0, 2.0]),
        "net.0.bias": np.array([0.0, 1.0]),
        "net.1.0.weight": np.array([[0.0, 1.0], [1.0, 0.0]]),
        "net.1.0.bias": np.zeros(2),
    }
    # (1, 3): mean 2, std 1 -> (-1, 1) -> (-1, 3); plus its swap (3, -1) -> (2, 2).
    assert Network(layers, weights, "net")(np.array([1.0, 3.0])) == pytest.approx([2.0, 2.0])


def test_every_layer_kind_agrees_with_torch() -> None:
    torch = pytest.importorskip("torch")
    weights = make_weights(EVERY_KIND)
    w = {name: torch.tensor(value, dtype=torch.float32) for name, value in weights.items()}
    inputs = np.random.default_rng(1).normal(size=(64, 4)).astype(np.float32)
    functional = torch.nn.functional
    x = (torch.tensor(inputs) - w["net.0.shift"]) * w["net.0.scale"]
    x = functional.linear(x, w["net.1.weight"], w["net.1.bias"])
    x = torch.relu(functional.layer_norm(x, (8,), w["net.2.weight"], w["net.2.bias"]))
    x = x + torch.relu(functional.linear(torch.relu(x), w["net.4.1.weight"], w["net.4.1.bias"]))
    x = functional.linear(x, w["net.5.weight"], w["net.5.bias"])
    # Outputs reach about 100 with these large weights: 1e-5 of that is what float32 can promise.
    outputs = Network(EVERY_KIND, weights, "net")(inputs.astype(np.float64))
    np.testing.assert_allclose(outputs, x.double().numpy(), rtol=1e-5, atol=1e-4)


@settings(deadline=None)
@given(rows=st.integers(0, 7), seed=st.integers(0, 1000))
def test_a_row_gives_the_same_bits_alone_and_in_a_batch(rows: int, seed: int) -> None:
    network = Network(EVERY_KIND, make_weights(EVERY_KIND), "net")
    inputs = np.random.default_rng(seed).normal(size=(rows, 4))
    outputs = network(inputs)
    assert outputs.shape == (rows, 6)
    for row in range(rows):
        assert network(inputs[row]).tobytes() == outputs[row].tobytes()


def test_the_fast_batch_agrees_to_rounding() -> None:
    network = Network(EVERY_KIND, make_weights(EVERY_KIND), "net")
    inputs = np.random.default_rng(2).normal(size=(5, 40, 4))
    np.testing.assert_allclose(network.batch(inputs), network(inputs), rtol=1e-11, atol=1e-11)


def test_an_output_is_not_overwritten_by_the_next_call() -> None:
    network = Network(EVERY_KIND, make_weights(EVERY_KIND), "net")
    first = network(np.ones(4))
    kept = first.copy()
    network(np.zeros(4))
    assert first.tobytes() == kept.tobytes()


def test_the_control_path_allocates_no_more_than_its_output() -> None:
    # Wide enough that a copy of a layer (16 kB) stands out from the interpreter's own few kB.
    layers = (Layer("linear", 300, 2000), Layer("relu"), Layer("linear", 2000, 4))
    network = Network(layers, make_weights(layers), "net")
    inputs = np.ones(300)
    network(inputs)
    tracemalloc.start()
    for _ in range(100):
        network(inputs)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2000 * 8, "a call allocated as much as one hidden layer"


def test_wrong_input_lengths_and_weights_are_refused() -> None:
    network = Network(EVERY_KIND, make_weights(EVERY_KIND), "net")
    with pytest.raises(InvalidValueError, match="takes 4 numbers"):
        network(np.zeros(5))
    with pytest.raises(InvalidValueError, match="takes 4 numbers"):
        network.batch(np.zeros((2, 3)))
    weights = make_weights(EVERY_KIND)
    weights["net.1.bias"] = np.zeros(7)
    with pytest.raises(InvalidValueError, match=r"net\.1\.bias must have shape \(8,\)"):
        Network(EVERY_KIND, weights, "net")
    del weights["net.1.bias"]
    with pytest.raises(InvalidValueError, match="nothing"):
        Network(EVERY_KIND, weights, "net")


def test_factors_and_actions_follow_the_paper() -> None:
    mean, variance = gaussian_factor(np.array([0.3, -0.2, 0.0, -100.0]))
    assert mean.tolist() == [0.3, -0.2]
    # softplus(0) = ln 2; softplus(-100) would be 4e-44 and is clamped.
    assert variance == pytest.approx([np.log(2.0), 1e-7])
    assert gaussian_factor(np.array([0.0, 800.0]))[1] == pytest.approx([800.0])
    assert deterministic_action(np.array([0.5, -9.0])) == pytest.approx([np.tanh(0.5)])


def as_fields(layers: list[object]) -> list[Fields]:
    return Fields({"layers": layers}, "net").items("layers")


def test_layers_survive_the_way_through_json() -> None:
    described: list[object] = [layer.to_dict() for layer in EVERY_KIND]
    assert read_layers(as_fields(described), "net") == EVERY_KIND
    assert chain_sizes(EVERY_KIND, "net") == (4, 6)


def nested(depth: int) -> dict[str, object]:
    if depth == 0:
        return {"kind": "linear", "in": 2, "out": 2}
    return {"kind": "residual", "layers": [nested(depth - 1)]}


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "1 to 64 layers"),
        ([{"kind": "relu"}], "fixes its length"),
        ([{"kind": "conv"}], "one of affine"),
        (
            [{"kind": "linear", "in": 2, "out": 3}, {"kind": "linear", "in": 4, "out": 1}],
            "takes 4 numbers and gets 3",
        ),
        ([{"kind": "linear", "in": 2, "out": 10**9}], "from 1 to"),
        ([{"kind": "linear", "in": 2, "out": 3, "bias": False}], "unknown keys 'bias'"),
        ([{"kind": "layer_norm", "size": 3, "epsilon": 0.0}], "epsilon"),
        ([{"kind": "residual", "layers": [{"kind": "linear", "in": 2, "out": 3}]}], "keep its length"),
        ([nested(50)], "nested at most"),
    ],
)
def test_layer_lists_that_make_no_sense_are_refused(layers: list[object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        read_layers(as_fields(layers), "net")
