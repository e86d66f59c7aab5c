# SPDX-License-Identifier: Apache-2.0
"""Updates on tensors that stay where they are: the same bits as eager ones, and safe to record."""

from __future__ import annotations

import copy

import pytest
import torch

from meta_rl_core.pearl.learner import Learner
from meta_rl_core.pearl.presets import control_settings
from meta_rl_core.pearl.static_update import (
    GraphedUpdate,
    Snapshot,
    StaticUpdate,
    make_capturable,
    set_learning_rate,
)
from tests.helpers.small_runs import RELABELLED, small_learner
from tests.helpers.toy_family import LineFamily

FAST: dict[str, object] = {
    **RELABELLED,
    "policy_delay": 2,
    "layer_norm": True,
    "privileged_share": 0.5,
    "reward_prediction_weight": 1.0,
    "meta_batch": 6,
    "aggregate_weight": 0.1,
    "early_context_weight": 0.1,
}
KINDS: dict[str, dict[str, object]] = {
    "paper": {},
    "fast": FAST,
    "reduced": {**FAST, "reduced_precision": True},
    "recurrent": {**FAST, "recurrent_encoder": True},
    "oracle": control_settings("oracle", LineFamily().spec),
    "simba": {**FAST, "critic_kind": "simba"},
    "batch_norm": {**FAST, "critic_kind": "batch_norm"},
}
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def make_learner(kind: str, device: str = "cpu", **settings: object) -> Learner:
    learner = small_learner(device=device, **{**KINDS[kind], **settings})
    learner.collect_initial()
    return learner


def everything(learner: Learner) -> list[torch.Tensor]:
    """Weights and optimiser states."""
    found = list(learner.update.state_dict().values())
    for optimiser in learner.update.optimisers().values():
        found += [value for state in optimiser.state.values() for value in state.values()]
    return [value.detach().clone() for value in found]


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_on_static_tensors_gives_the_same_bits_as_an_eager_one(kind: str) -> None:
    eager, static = make_learner(kind), make_learner(kind)
    runner = StaticUpdate(static.update, static.make_batch())
    eager.make_batch()
    places = [part.data_ptr() for part in (*runner.batch, *runner.noise) if part is not None]
    for _ in range(5):
        expected = eager.update.step(eager.make_batch(), eager.torch_generator)
        got = runner.step(static.make_batch(), static.torch_generator)
        assert expected.keys() == got.keys()
        assert all(torch.equal(got[name], value) for name, value in expected.items())
    assert all(torch.equal(a, b) for a, b in zip(everything(eager), everything(static), strict=True))
    assert places == [part.data_ptr() for part in (*runner.batch, *runner.noise) if part is not None]


def test_the_actor_learns_in_every_second_update_where_it_is_delayed_and_in_every_one_otherwise() -> None:
    for kind, due in (("paper", [True] * 4), ("fast", [False, True, False, True])):
        learner = make_learner(kind)
        runner = StaticUpdate(learner.update, learner.make_batch())
        got = []
        for _ in range(4):
            got.append(runner.update.actor_is_due())
            losses = runner.step(learner.make_batch(), learner.torch_generator)
            assert ("actor_loss" in losses) == got[-1]
        assert got == due


@pytest.mark.parametrize("with_actor", [False, True])
@pytest.mark.parametrize("updates", [0, 3])
def test_what_warms_up_a_recording_is_undone_in_place(updates: int, *, with_actor: bool) -> None:
    learner, other = make_learner("fast"), make_learner("fast")
    for either in (learner, other):
        for _ in range(updates):
            either.learn_once()
    runner = StaticUpdate(learner.update, learner.make_batch())
    other.make_batch()
    for noise in runner.noise:
        noise.normal_(generator=torch.Generator().manual_seed(1))
    snapshot = Snapshot(learner.update)
    places = [value.data_ptr() for value in learner.update.state_dict().values()]
    for _ in range(3):
        runner._play(with_actor=with_actor)
    changed = everything(learner)
    snapshot.put_back()
    assert places == [value.data_ptr() for value in learner.update.state_dict().values()]
    assert any(not torch.equal(a, b) for a, b in zip(changed, everything(learner), strict=True))
    # From here on both runs are one: states that warming up created start from zero, as Adam's own do.
    for either in (learner, other):
        for _ in range(4):
            either.learn_once()
    assert all(torch.equal(a, b) for a, b in zip(everything(learner), everything(other), strict=True))


def test_a_learning_rate_that_a_recording_reads_changes_in_place() -> None:
    learner = make_learner("fast")
    optimisers = copy.copy(learner.update.optimisers())
    make_capturable(optimisers, torch.device("cpu"))
    groups = [group for optimiser in optimisers.values() for group in optimiser.param_groups]
    before = [group["lr"].data_ptr() for group in groups]
    set_learning_rate(optimisers, 0.25)
    assert [group["lr"].data_ptr() for group in groups] == before
    assert [float(group["lr"]) for group in groups] == [0.25] * 3
    assert all(group["capturable"] for group in groups)


@needs_cuda
@pytest.mark.parametrize("kind", KINDS)
def test_a_replayed_graph_learns_what_launched_operations_learn(kind: str) -> None:
    launched = make_learner(kind, "cuda", cuda_graph=False, learning_rate_decay=0.1)
    recorded = make_learner(kind, "cuda", learning_rate_decay=0.1)
    for _ in range(8):
        expected, got = launched.learn_once(), recorded.learn_once()
        for name, value in expected.items():
            torch.testing.assert_close(got[name], value, rtol=1e-3, atol=1e-4)
    assert isinstance(recorded._static, GraphedUpdate)
    assert len(recorded._static._recorded) == recorded.config.policy_delay
    pairs = zip(everything(launched), everything(recorded), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
