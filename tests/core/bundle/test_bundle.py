# SPDX-License-Identifier: Apache-2.0
"""A bundle comes back as it was written, and tells which robots it fits."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meta_rl_core.bundle import Bundle, load_bundle, write_bundle
from meta_rl_core.bundle.manifest import bundle_hash
from meta_rl_core.errors import BundleError, JointMismatchError
from meta_rl_core.families.dclaw_turn import CLAW_JOINTS, VALVE_JOINT
from tests.helpers.bundles import add_change_network, make_random_bundle, random_parts, random_parts_of
from tests.helpers.forgery import rewrite
from tests.helpers.toy_family import LineFamily, LineReward


@pytest.mark.parametrize("family", ["dclaw-turn", "dclaw-turn-sparse", "point-robot", "sparse-point-robot"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "next_observation_in_context": True,
            "prior_in_product": True,
            "latent_dim": 2,
            "reward_scale_in_context": 1.0,
        },
    ],
)
def test_a_bundle_comes_back_as_it_was_written(tmp_path: Path, family: str, options: dict[str, Any]) -> None:
    fields, weights, golden = random_parts(family, seed=3, **options)
    written = write_bundle(tmp_path / "policy", fields, weights, golden)
    loaded = load_bundle(tmp_path / "policy")
    assert loaded.hash == written.hash
    assert loaded.manifest == written.manifest
    assert loaded.manifest.family == family
    assert set(loaded.weights) == set(weights)
    for name, value in weights.items():
        assert loaded.weights[name].tobytes() == value.tobytes()
    assert max(loaded.golden_errors) < 1e-6


def test_the_same_policy_has_the_same_hash_and_another_has_not(tmp_path: Path) -> None:
    first, again, other = (
        make_random_bundle(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first.hash == again.hash != other.hash
    assert (tmp_path / "a" / "weights.safetensors").read_bytes() == (
        tmp_path / "b" / "weights.safetensors"
    ).read_bytes()


def test_the_hash_does_not_depend_on_how_the_manifest_is_laid_out(tmp_path: Path) -> None:
    bundle = make_random_bundle(tmp_path / "policy")
    path = tmp_path / "policy" / "manifest.json"
    value = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(value.items())), indent=7))
    assert load_bundle(tmp_path / "policy").hash == bundle.hash == bundle_hash(value)


def test_weights_cannot_be_changed_after_loading(tmp_path: Path) -> None:
    bundle = make_random_bundle(tmp_path / "policy")
    with pytest.raises(ValueError, match="read-only"):
        bundle.weights["actor.0.weight"][0, 0] = 1.0


def test_an_existing_bundle_is_replaced_only_on_request_and_neighbours_stay(tmp_path: Path) -> None:
    first = make_random_bundle(tmp_path / "policy", seed=0)
    (tmp_path / "policy" / "curves.png").write_bytes(b"picture")
    with pytest.raises(BundleError, match="already holds a bundle"):
        make_random_bundle(tmp_path / "policy", seed=1)
    assert load_bundle(tmp_path / "policy").hash == first.hash
    second = write_bundle(tmp_path / "policy", *random_parts(seed=1), overwrite=True)
    assert load_bundle(tmp_path / "policy").hash == second.hash != first.hash
    assert (tmp_path / "policy" / "curves.png").read_bytes() == b"picture"
    assert sorted(os.listdir(tmp_path)) == ["policy"]


def test_parts_that_would_be_refused_are_never_put_in_place(tmp_path: Path) -> None:
    fields, weights, golden = random_parts()
    broken = {**weights, "actor.0.bias": np.full_like(weights["actor.0.bias"], np.nan)}
    with pytest.raises(BundleError, match=r"actor\.0\.bias holds NaN"):
        write_bundle(tmp_path / "policy", fields, broken, golden)
    with pytest.raises(BundleError, match="the writer adds them"):
        write_bundle(tmp_path / "policy", {**fields, "files": {}}, weights, golden)
    with pytest.raises(BundleError, match="action is off by up to"):
        write_bundle(tmp_path / "policy", fields, weights, {**golden, "action": golden["action"] + 1e-4})
    with pytest.raises(BundleError, match="belief_mean holds NaN"):
        write_bundle(
            tmp_path / "policy", fields, weights, {**golden, "belief_mean": golden["belief_mean"] * np.nan}
        )
    assert os.listdir(tmp_path) == []


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="could not be written"):
        make_random_bundle(tmp_path / "file" / "policy")
    with pytest.raises(BundleError, match="could not be written"):
        make_random_bundle(tmp_path / "file")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_random_bundle(tmp_path_factory.mktemp("bundle") / "policy")


def test_a_robot_with_all_joints_fits_in_any_order_and_with_extra_ones(bundle: Bundle) -> None:
    bundle.check_robot(("camera_joint", VALVE_JOINT, *reversed(CLAW_JOINTS)))


def test_a_robot_that_does_not_fit_is_refused_with_the_difference(bundle: Bundle) -> None:
    with pytest.raises(
        JointMismatchError,
        match="missing ff_joint0, valve_joint; repeated none; not used by the policy FF_J0",
    ):
        bundle.check_robot(("FF_J0", *CLAW_JOINTS[1:]))
    with pytest.raises(JointMismatchError, match="missing none; repeated ff_joint0"):
        bundle.check_robot((*CLAW_JOINTS, VALVE_JOINT, CLAW_JOINTS[0]))


def test_a_policy_without_a_robot_runs_on_none(tmp_path: Path) -> None:
    policy = write_bundle(tmp_path / "policy", *random_parts_of(LineFamily().spec, LineReward()))
    with pytest.raises(BundleError, match="describes no robot"):
        policy.check_robot(("a",))


def test_a_bundle_that_can_tell_changed_tasks_has_the_second_schema_version_and_others_the_first(
    tmp_path: Path,
) -> None:
    parts = random_parts(seed=3)
    plain = write_bundle(tmp_path / "plain", *parts)
    watching = write_bundle(tmp_path / "watching", *add_change_network(*parts, 12.5))
    versions = [
        json.loads((tmp_path / name / "manifest.json").read_text())["schema_version"]
        for name in ("plain", "watching")
    ]
    assert versions == [1, 2]
    assert (plain.change(), plain.manifest.change_alarm) == (None, 0.0)
    network = watching.change()
    assert network is not None
    # 2 * 29 observations, 9 actions, the reward, mean and log std of 5 latent dimensions
    assert (network.input_dim, network.output_dim) == (78, 1)
    assert watching.manifest.change_alarm == 12.5
    assert 0.0 <= watching.golden_errors.change_log_odds < 1e-5
    for name in plain.weights:
        assert watching.weights[name].tobytes() == plain.weights[name].tobytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda value: value.update(change_alarm=0.0), "change_alarm"),
        (lambda value: value.update(change_alarm=float("1e9")), "change_alarm"),
        (lambda value: value.pop("change_alarm"), "change_alarm"),
        (lambda value: value["networks"].pop("change"), "change"),
        (lambda value: value.update(schema_version=1), "change"),
        (lambda value: value.update(reward_scale_in_context=0.2), "golden vectors"),
        (lambda value: value["networks"]["change"]["layers"][0].update({"in": 77}), "the change network"),
    ],
)
def test_a_change_network_that_does_not_fit_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    policy = write_bundle(tmp_path / "policy", *add_change_network(*random_parts(), 12.5)).path
    rewrite(policy, change)
    with pytest.raises(BundleError, match=said):
        load_bundle(policy)
