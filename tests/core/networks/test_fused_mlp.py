# SPDX-License-Identifier: Apache-2.0
"""Networks in C++ compute what PyTorch computes, forwards and backwards, and stand aside where they cannot."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from meta_rl_core.networks import fused_mlp, native_library
from meta_rl_core.networks.mlp import MLP, use_native

ROWS = 203  # no multiple of 32 or 48, and more than a block of 192
HELPERS = Path(__file__).parents[2] / "helpers"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[(), ("-D__AVX512F__",)], ids=["own_vectors", "vectors_of_16"])
def in_float32(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> ctypes.CDLL:
    """The library for products in float32; for any processor it can be built as where there is AVX-512."""
    flags = (native_library.FLOAT32_FLAG, *request.param)
    return native_library.load(native_library.build(tmp_path_factory.mktemp("float32"), *flags))


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The library as it is built where there is AMX, on tiles in plain C++."""
    flags = ("-D__AMX_BF16__", "-include", f"{HELPERS}/emulated_tiles.h")
    return native_library.load(native_library.build(tmp_path_factory.mktemp("tiles"), *flags))


@pytest.fixture(params=[False, True], ids=["plain", "normalised"])
def layer_norm(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def make(hidden: tuple[int, ...] = (40, 33), outputs: int = 7, *, layer_norm: bool = False) -> MLP:
    generator = torch.Generator().manual_seed(5)
    network = MLP(9, hidden, outputs, layer_norm=layer_norm, last_layer_scale=0.5, generator=generator)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network


def inputs(rows: int = ROWS) -> Tensor:
    return torch.randn(rows, 9, generator=torch.Generator().manual_seed(6), requires_grad=True)


def run(
    network: MLP,
    native: bool,
    values: Tensor,
    *,
    reduced: bool = False,
    fixed: bool = False,
    without: slice | None = None,
) -> list[Tensor]:
    """Outputs and all gradients of a weighted sum of them, in which the rows `without` do not count."""
    use_native(network, native)
    network.zero_grad()
    values.grad = None
    with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
        outputs = network(values, fixed=fixed)
    weights = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(7))
    if without is not None:
        weights[without] = 0.0
    (outputs * weights).sum().backward()
    gradients = [values.grad, *(parameter.grad for parameter in network.parameters())]
    return [outputs.detach(), *(gradient.clone() for gradient in gradients if gradient is not None)]


def error(got: list[Tensor], wanted: list[Tensor]) -> float:
    return max(float((a - b).norm() / b.norm()) for a, b in zip(got, wanted, strict=True))


def error_together(got: list[Tensor], wanted: list[Tensor]) -> float:
    """Where rounding switches units on and off, single gradients differ at random."""
    return error(*([torch.cat([part.flatten() for part in parts])] for parts in (got, wanted)))


class TestInFloat32:
    """In float32 the networks must be PyTorch's, but for the order of sums."""

    @pytest.fixture(autouse=True)
    def library(self, in_float32: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fused_mlp, "native_library", lambda **_: in_float32)
        monkeypatch.setattr("meta_rl_core.networks.mlp.can_fuse", lambda **_: True)

    @pytest.mark.parametrize(
        ("hidden", "outputs"), [((40, 33), 7), ((64,), 1), ((300, 300, 300), 12), ((16, 17, 5), 4)]
    )
    def test_outputs_and_every_gradient_are_those_of_pytorch(
        self, hidden: tuple[int, ...], outputs: int, layer_norm: bool
    ) -> None:
        network = make(hidden, outputs, layer_norm=layer_norm)
        assert error(run(network, True, inputs()), run(network, False, inputs())) < 2e-5

    @pytest.mark.parametrize("rows", [128, 129, 160, 192, 193, 256, 1000])
    def test_any_number_of_rows_is_taken(self, rows: int) -> None:
        network = make(layer_norm=True)
        wanted = run(network, False, inputs(rows))
        assert error(run(network, True, inputs(rows)), wanted) < 2e-5

    def test_fixed_weights_get_no_gradient_but_inputs_do(self) -> None:
        network, values = make(), inputs()
        got = run(network, True, values, fixed=True)
        assert all(parameter.grad is None for parameter in network.parameters())
        assert len(got) == 2
        assert error(got, run(network, False, values, fixed=True)) < 2e-5

    @pytest.mark.parametrize("without", [slice(0, None, 2), slice(60, 201), slice(None, -1), slice(None)])
    def test_rows_that_do_not_count_are_left_out_of_the_way_back_through_fixed_weights(
        self, without: slice, layer_norm: bool
    ) -> None:
        network, values = make(layer_norm=layer_norm), inputs()
        got = run(network, True, values, fixed=True, without=without)
        wanted = run(network, False, values, fixed=True, without=without)
        assert not got[1][without].any()
        assert torch.allclose(got[1], wanted[1], rtol=2e-5, atol=1e-6)

    def test_a_gradient_that_is_not_a_number_is_no_row_to_leave_out(self) -> None:
        network, values = make(), inputs()
        use_native(network, True)
        outputs = network(values, fixed=True)
        outputs.backward(torch.zeros_like(outputs).index_fill_(0, torch.tensor([17]), torch.nan))
        assert values.grad is not None
        assert torch.isnan(values.grad).any(dim=1).nonzero().flatten().tolist() == [17]

    def test_a_network_among_others_gets_its_share_of_the_gradient(self) -> None:
        first, second, values = make(outputs=9), make(), inputs()
        gradients = []
        for native in (False, True):
            for network in (first, second):
                use_native(network, native)
                network.zero_grad()
            second(first(values).tanh()).square().sum().backward()
            gradients.append(
                [parameter.grad for parameter in first.parameters() if parameter.grad is not None]
            )
        assert error(gradients[1], gradients[0]) < 2e-5

    def test_leading_dimensions_stay(self) -> None:
        network, values = make(), torch.randn(3, 50, 9)
        use_native(network, True)
        together, apart = network(values), network(values.flatten(0, 1))
        assert together.shape == (3, 50, 7)
        assert torch.equal(together.flatten(0, 1), apart)

    def test_the_same_bits_come_out_whether_or_not_there_is_a_way_back(self) -> None:
        network, values = make(layer_norm=True), inputs()
        use_native(network, True)
        with torch.no_grad():
            alone = network(values)
        assert torch.equal(alone, network(values).detach())

    @pytest.fixture
    def threads(self) -> Iterator[Callable[[int], None]]:
        before = torch.get_num_threads()
        yield torch.set_num_threads
        torch.set_num_threads(before)

    def test_pytorchs_threads_share_the_rows_and_the_same_number_gives_the_same_bits(
        self, threads: Callable[[int], None]
    ) -> None:
        network, results = make(layer_norm=True), []
        assert native_library.openmp_parallel() is not None
        for count in (1, 3, 3):
            threads(count)
            results.append(run(network, True, inputs()))
        assert error(results[1], results[0]) < 1e-5
        assert all(torch.equal(a, b) for a, b in zip(results[1], results[2], strict=True))

    def test_no_thread_is_made_but_pytorchs(self, in_float32: ctypes.CDLL) -> None:
        """A second set would fight over the processors with the first."""
        library = Path(in_float32._name).read_bytes()
        # As C names it, and as std::thread does.
        assert not any(name in library for name in (b"pthread_create", b"_M_start_thread"))

    def test_without_their_threads_one_gives_the_same_bits(
        self, threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        network = make(layer_norm=True)
        threads(3)
        shared = run(network, True, inputs())
        monkeypatch.setattr(fused_mlp, "openmp_parallel", lambda: None)
        assert all(torch.equal(a, b) for a, b in zip(run(network, True, inputs()), shared, strict=True))

    def test_what_is_not_finite_comes_out_as_such(self, layer_norm: bool) -> None:
        network, values = make(layer_norm=layer_norm), inputs().detach()
        values[17, 3] = torch.nan
        use_native(network, True)
        finite = torch.isfinite(network(values)).all(dim=1)
        assert not finite[17]
        assert finite.sum() == ROWS - 1

    def test_few_rows_double_precision_and_other_layers_are_left_to_pytorch(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("meta_rl_core.networks.mlp.fused_mlp", None)  # calling it would raise
        network, few = make(), fused_mlp.FEWEST_ROWS - 1
        use_native(network, True)
        assert network(inputs(few)).shape == (few, 7)
        with pytest.raises(TypeError):
            network(inputs())
        assert network.double()(inputs().double()).shape == (ROWS, 7)
        assert fused_mlp.shape_of(torch.nn.Sequential(torch.nn.Linear(9, 7))) is None
        odd = torch.nn.Sequential(torch.nn.Linear(9, 8), torch.nn.Tanh(), torch.nn.Linear(8, 7))
        assert fused_mlp.shape_of(odd) is None


class TestInBfloat16:
    """The products of this processor, if it has any."""

    @pytest.fixture(autouse=True)
    def library(self) -> None:
        if native_library.native_library(bfloat16=True) is None:
            pytest.skip("this processor multiplies no bfloat16")

    def test_it_is_no_further_off_than_pytorchs_and_agrees_before_it_is_used(self, layer_norm: bool) -> None:
        assert fused_mlp.can_fuse(bfloat16=True)
        network = make((300, 300), layer_norm=layer_norm)
        exact = run(network, False, inputs())
        theirs = error_together(run(network, False, inputs(), reduced=True), exact)
        assert 1e-4 < error_together(run(network, True, inputs(), reduced=True), exact) < 1.5 * theirs

    def test_rows_that_do_not_count_are_left_out_here_too(self, layer_norm: bool) -> None:
        network, values, odd = make(layer_norm=layer_norm), inputs(), slice(1, None, 2)
        every = run(network, True, values, reduced=True, fixed=True)[1]
        some = run(network, True, values, reduced=True, fixed=True, without=odd)[1]
        assert torch.equal(some[::2], every[::2])
        assert not some[odd].any()

    def test_products_on_tiles_are_those_of_this_processor(
        self, layer_norm: bool, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        emulated: ctypes.CDLL = request.getfixturevalue("emulated")  # not built where this is skipped
        network = make((96, 65), layer_norm=layer_norm)
        wanted = run(network, True, inputs(), reduced=True)
        assert emulated.pitaya_has_tiles()
        monkeypatch.setattr(fused_mlp, "native_library", lambda **_: emulated)
        # Only the order of sums may differ, which now and then changes the rounding of one.
        assert error_together(run(network, True, inputs(), reduced=True), wanted) < 3e-3
