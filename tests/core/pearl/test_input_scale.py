# SPDX-License-Identifier: Apache-2.0
"""Networks see observations on the scale of those collected so far; what leaves training takes them as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from meta_rl_core.bundle import load_bundle, write_bundle
from meta_rl_core.errors import InvalidValueError
from meta_rl_core.networks.input_scale import LEAST_VARIANCE, InputScale, RunningMoments, set_scales
from meta_rl_core.networks.mlp import MLP
from meta_rl_core.pearl.export import export_parts
from meta_rl_core.pearl.plans import CollectionConfig, EvaluationConfig
from meta_rl_core.pearl.presets import make_config
from meta_rl_core.pearl.trainer import Trainer
from meta_rl_core.registry import load_family
from tests.helpers.small_runs import RELABELLED, small_config, small_learner

SEEN = np.random.default_rng(5).normal([3.0, -200.0, 0.0], [0.5, 40.0, 0.0], size=(1000, 3))


def moments() -> RunningMoments:
    made = RunningMoments(3)
    made.add(SEEN)
    return made


def test_moments_are_those_of_all_rows_however_they_came() -> None:
    parts = RunningMoments(3)
    for rows in (SEEN[:1], SEEN[1:1], SEEN[1:700], SEEN[700:]):
        parts.add(rows)
    assert parts.count == 1000
    np.testing.assert_allclose(parts.mean, SEEN.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(parts.squares / 1000, SEEN.var(axis=0), rtol=1e-12, atol=1e-20)
    np.testing.assert_allclose(parts.scale, 1.0 / np.sqrt(SEEN.var(axis=0) + LEAST_VARIANCE), rtol=1e-12)
    assert parts.scale[2] == pytest.approx(100.0)  # an element that never changes is not blown up further


def test_moments_change_nothing_before_the_second_row_and_come_back_to_the_bit() -> None:
    alone = RunningMoments(3)
    alone.add(SEEN[:1])
    assert alone.scale.tolist() == [1.0, 1.0, 1.0]
    again = RunningMoments(3)
    again.restore(moments().to_dict())
    assert again.to_dict() == moments().to_dict()
    with pytest.raises(InvalidValueError, match="moments of 2 elements are needed, got 3"):
        RunningMoments(2).restore(moments().to_dict())


def test_observations_are_scaled_wherever_they_stand_and_nothing_else_is() -> None:
    scale = InputScale(8, observations_at=(0, 5))
    rows = torch.arange(16.0).reshape(2, 8)
    assert torch.equal(scale(rows), rows)
    scale.set(moments())
    scaled = scale(rows).numpy()
    for place in (0, 5):
        wanted = (rows.numpy()[:, place : place + 3] - moments().mean) * moments().scale
        np.testing.assert_allclose(scaled[:, place : place + 3], wanted, rtol=1e-5)
    assert np.array_equal(scaled[:, 3:5], rows.numpy()[:, 3:5])


def test_exported_weights_do_the_same_on_observations_as_they_are() -> None:
    generator = torch.Generator().manual_seed(1)
    network = MLP(5, (16, 16), 2, layer_norm=True, generator=generator, observations_at=(0,))
    set_scales(network, moments())
    plain = MLP(5, (16, 16), 2, layer_norm=True, generator=generator)
    exported = network.export_weights("net")
    plain.load_state_dict({f"layers.{name[4:]}": torch.from_numpy(v) for name, v in exported.items()})
    rows = torch.cat([torch.from_numpy(SEEN[:50]).float(), torch.ones(50, 2)], dim=1)
    torch.testing.assert_close(plain(rows), network(rows), rtol=1e-4, atol=1e-6)


def test_actor_critics_their_targets_and_the_agent_that_leaves_see_the_same_scale() -> None:
    learner = small_learner(**RELABELLED, normalise_observations=True, reward_prediction_weight=1.0)
    learner.collect_initial()
    wanted = torch.as_tensor(learner.moments.scale, dtype=torch.float32)
    size = len(wanted)
    found = [
        module
        for network in (learner.update, learner.averaged)
        for module in network.modules()
        if isinstance(module, InputScale)
    ]
    # Encoder, actor, four critics and the reward head in training; encoder and actor leave.
    assert len(found) == 9
    for module in found:
        for place in module.places:
            assert torch.equal(module.scale[place : place + size], wanted)
    assert learner.moments.count == learner.env_steps
    before = learner.moments.count
    learner.collect()
    assert learner.moments.count == learner.env_steps > before


def test_where_a_body_moves_is_predicted_on_the_scale_of_observations() -> None:
    learner = small_learner(
        method="sac_v2",
        collection=CollectionConfig(1, False, 2, 1, 0, 1),
        normalise_observations=True,
        transition_prediction_weight=1.0,
    )
    learner.collect_initial()
    batch = learner.make_batch()
    noise = [torch.zeros(shape) for shape in learner.update.noise_shapes(batch)]
    head = learner.update.transition_head
    with torch.no_grad():
        head.layers[-1].weight.zero_()  # predicts that nothing moves
        head.layers[-1].bias.zero_()
        losses, _ = learner.update.critic_losses(batch, noise[0], noise[2])
    scale = torch.as_tensor(learner.moments.scale, dtype=torch.float32)
    wanted = ((batch.next_observation - batch.observation) * scale).square().mean()
    torch.testing.assert_close(losses["transition_loss"], wanted)


@pytest.mark.parametrize("settings", [{}, {"method": "sac_v2", "recurrent_encoder": True}])
def test_it_is_refused_where_it_has_no_meaning(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match="normalise_observations needs method sac_v2"):
        small_config(normalise_observations=True, **settings)


def test_a_policy_trained_on_scaled_observations_leaves_as_a_bundle_that_passes_its_golden_vectors(
    tmp_path: Path,
) -> None:
    config = make_config(
        "cheetah-vel",
        "fast",
        normalise_observations=True,
        iterations=1,
        updates_per_iteration=20,
        collection=CollectionConfig(1, False, 2, 1, 1, 0),
        evaluation=EvaluationConfig(1, 2, 2, 1),
    )
    Trainer(load_family("cheetah-vel"), config, tmp_path / "run").run()
    parts = export_parts(tmp_path / "run", "last")
    write_bundle(tmp_path / "policy", parts.manifest_fields, parts.weights, parts.golden)
    assert max(load_bundle(tmp_path / "policy").golden_errors) < 1e-5
