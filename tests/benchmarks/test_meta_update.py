# SPDX-License-Identifier: Apache-2.0
"""The quick update computes what the plain one computes; the benchmark reports what it promises."""

from __future__ import annotations

import pytest
import torch

from benchmarks.meta_update import make_batch, make_update, measure
from benchmarks.plain_pearl import PlainUpdate
from benchmarks.report import describe_machine
from meta_rl_core.networks.mlp import MLP
from meta_rl_core.pearl import precision
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.precision import has_bfloat16
from meta_rl_core.pearl.sac_v1 import SacV1Update

# 3 x 200 rows with hidden widths that are no multiple of 16, so that they are filled up.
SIZES: dict[str, object] = {
    "meta_batch": 3,
    "batch_size": 200,
    "context_size": 180,
    "actor_hidden": (20, 18),
    "critic_hidden": (22, 17),
    "encoder_hidden": (19, 21),
}


def make_pair(**settings: object) -> tuple[PearlConfig, SacV1Update, PlainUpdate]:
    config = PearlConfig("cheetah-vel", **{**SIZES, **settings})  # type: ignore[arg-type]
    ours = make_update(config)
    return config, ours, PlainUpdate(ours)


def ours_by_name(update: SacV1Update) -> dict[str, MLP]:
    return {
        "encoder": update.agent.encoder.network,
        "actor": update.agent.actor.network,
        "first": update.critic.first,
        "second": update.critic.second,
        "value": update.value.network,
        "target": update.target_value.network,
    }


def test_four_updates_move_every_weight_as_the_plain_equations_do_in_double_precision() -> None:
    config, ours, _ = make_pair()
    ours.double()
    plain = PlainUpdate(ours)
    batch = make_batch(config)
    batch = batch._replace(**{n: v.double() for n, v in batch._asdict().items() if v is not None})
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    for _ in range(4):
        mine = ours.step(batch, generators[0])
        expected = plain.step(batch, generators[1])
        for name, value in expected.items():
            torch.testing.assert_close(mine[name], value, rtol=1e-9, atol=1e-9)
    for name, network in ours_by_name(ours).items():
        for a, b in zip(network.layers.parameters(), plain.networks[name].parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=0.0, atol=1e-8)


@pytest.mark.parametrize(("reduced", "tolerance"), [(False, 1e-5), (True, 2e-2)])
def test_losses_agree_with_the_plain_equations_to_the_precision_asked_for(
    reduced: bool, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda _: True)
    config, ours, plain = make_pair(reduced_precision=reduced)
    batch = make_batch(config)
    mine, expected = (update.step(batch, torch.Generator().manual_seed(3)) for update in (ours, plain))
    for name, value in expected.items():
        assert float(mine[name]) == pytest.approx(float(value), rel=tolerance), name


@pytest.mark.parametrize("has_it", [True, False])
def test_an_update_is_one_in_float32_where_the_processor_has_no_bfloat16(
    has_it: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda _: has_it)
    losses = []
    for reduced in (False, True):
        config, ours, _ = make_pair(reduced_precision=reduced)
        losses.append(ours.step(make_batch(config), torch.Generator().manual_seed(3)))
    assert (losses[0] == losses[1]) != has_it


@pytest.mark.parametrize(
    ("processors", "told"),
    [
        ("model name\t: AMD EPYC\nflags\t\t: fpu avx2 avx512f avx512_bf16\n", True),
        ("flags\t\t: fpu avx2 amx_tile amx_bf16\n", True),
        ("vendor_id\t: GenuineIntel\nflags\t\t: avx512_bf16 amx_tile amx_bf16\n", True),
        ("vendor_id\t: GenuineIntel\nflags\t\t: avx512_bf16 avx512_fp16\n", False),
        ("vendor_id\t: AuthenticAMD\nflags\t\t: avx512_bf16\n", True),
        ("Features\t: fp asimd i8mm bf16\n", True),
        ("model name\t: AMD EPYC\nflags\t\t: fpu avx2 fma\n", False),
        ("model name\t: bf16\n", False),
        ("", False),
    ],
)
def test_the_processors_flags_tell_whether_it_has_bfloat16(processors: str, told: bool) -> None:
    assert precision.tells_bfloat16(processors) == told


def test_widths_filled_up_with_zeros_change_neither_outputs_nor_gradients() -> None:
    network = MLP(7, (20, 33), 34, generator=torch.Generator().manual_seed(0)).double()
    inputs = torch.randn(600, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert network._fills_up(inputs)
    results = []
    for outputs in (network(inputs), network.layers(inputs)):
        network.zero_grad()
        outputs.square().sum().backward()
        results.append(
            [outputs.detach(), *(p.grad.clone() for p in network.parameters() if p.grad is not None)]
        )
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_the_benchmark_reports_what_it_promises() -> None:
    report = measure(1, reduced=True)
    assert report["speedup"] == pytest.approx(report["reference_ms"] / report["ours_ms"])
    assert report["ours_ms"] > 0.0
    assert report["dtype"] == ("bfloat16" if has_bfloat16("cpu") else "float32")
    assert report["cpu_features"] == describe_machine()["cpu_features"]
