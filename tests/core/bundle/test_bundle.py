# SPDX-License-Identifier: Apache-2.0
"""A bundle comes back as it was written, and tells which robots it fits."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meta_rl_core.bundle import Bundle, load_bundle, write_bundle
from meta_rl_core.bundle.manifest import bundle_hash
from meta_rl_core.errors import BundleError, JointMismatchError
from meta_rl_core.families.dclaw_turn import CLAW_JOINTS, VALVE_JOINT
from tests.helpers.bundles import make_random_bundle, random_parts, random_parts_of
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
