# SPDX-License-Identifier: Apache-2.0
"""A damaged, foreign or forged bundle is refused with one clear error, whatever was done to it."""

from __future__ import annotations

import copy
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from meta_rl_core.bundle import load_bundle
from meta_rl_core.bundle.manifest import bundle_hash
from meta_rl_core.errors import BundleError
from tests.helpers.bundles import make_random_bundle
from tests.helpers.forgery import FILES, replace_file, rewrite


@pytest.mark.parametrize("name", FILES)
def test_a_bundle_truncated_at_any_length_is_refused(policy: Path, name: str) -> None:
    data = (policy / name).read_bytes()
    for length in range(len(data)):
        (policy / name).write_bytes(data[:length])
        with pytest.raises(BundleError):
            load_bundle(policy)


@pytest.mark.parametrize("name", FILES)
def test_a_bundle_with_any_bit_flipped_is_refused_or_means_the_same(
    policy: Path, whole: Path, name: str
) -> None:
    data = (policy / name).read_bytes()
    original = load_bundle(whole).hash
    generator = np.random.default_rng(0)
    for bit in generator.choice(8 * len(data), size=500, replace=False):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << (bit % 8)
        (policy / name).write_bytes(damaged)
        try:
            loaded = load_bundle(policy)
        except BundleError:
            continue
        # Such as 'E' for 'e' in a number: other bytes, the same manifest.
        assert name == "manifest.json"
        assert loaded.hash == original


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(policy: Path, name: str) -> None:
    (policy / name).unlink()
    with pytest.raises(BundleError, match=f"{name} cannot be read"):
        load_bundle(policy)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such directory"):
        load_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize("name", FILES)
def test_links_are_refused_even_to_the_right_content(policy: Path, whole: Path, name: str) -> None:
    (policy / name).unlink()
    (policy / name).symlink_to(whole / name)
    with pytest.raises(BundleError, match=f"{name} cannot be read: it is a link"):
        load_bundle(policy)


@pytest.mark.parametrize("name", FILES)
def test_pipes_devices_and_directories_are_refused_without_blocking(policy: Path, name: str) -> None:
    (policy / name).unlink()
    os.mkfifo(policy / name)
    with pytest.raises(BundleError, match="regular file"):
        load_bundle(policy)
    (policy / name).unlink()
    (policy / name).mkdir()
    with pytest.raises(BundleError, match=name):
        load_bundle(policy)


def test_a_manifest_changed_by_hand_is_refused(policy: Path) -> None:
    rewrite(policy, lambda value: value.update(horizon=6), hashed=False)
    with pytest.raises(BundleError, match="it was changed"):
        load_bundle(policy)


@pytest.mark.parametrize("version", [0, 3, "1", True, 1.5, None])
def test_another_schema_version_is_refused(policy: Path, version: object) -> None:
    rewrite(policy, lambda value: value.update(schema_version=version))
    with pytest.raises(BundleError, match=r"schema_version .* is not known"):
        load_bundle(policy)


DEEP: Any = []
for _ in range(50):
    DEEP = [DEEP]
WRONG_VALUES = [None, True, -1, 0, 1.5, 2**70, "", "x" * 5000, "\x1b[2J", [], {}, DEEP, [1, "a"], {"a": 1}]


def every_path(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every value inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [inner for key, item in items for inner in every_path(item, (*path, key))]


def test_every_value_of_the_manifest_may_be_wrong_in_every_way(whole: Path, policy: Path) -> None:
    original = json.loads((whole / "manifest.json").read_text())
    free = {("provenance",), ("name",), ("reward", "model")}
    for path in every_path(original):
        for wrong in WRONG_VALUES:
            value = copy.deepcopy(original)
            target = value
            for key in path[:-1]:
                target = target[key]
            if target[path[-1]] == wrong and type(target[path[-1]]) is type(wrong):
                continue
            target[path[-1]] = wrong
            value["bundle_hash"] = value["bundle_hash"] if path == ("bundle_hash",) else bundle_hash(value)
            (policy / "manifest.json").write_text(json.dumps(value))
            try:
                load_bundle(policy)
            except BundleError as error:
                assert str(policy) in str(error)
                continue
            harmless = path[:1] in free or path in free or path in (("horizon",), ("period_s",), ("family",))
            harmless |= path == ("prior_in_product",) or path[0] == "reward"
            assert harmless, f"{path} = {wrong!r} was accepted"


def test_every_key_of_the_manifest_is_needed_and_none_may_be_added(whole: Path, policy: Path) -> None:
    original = json.loads((whole / "manifest.json").read_text())
    for path in every_path(original):
        value = copy.deepcopy(original)
        target = value
        for key in path[:-1]:
            target = target[key]
        if not isinstance(target, dict) or path == ("bundle_hash",):
            continue
        del target[path[-1]]
        value["bundle_hash"] = bundle_hash(value)
        (policy / "manifest.json").write_text(json.dumps(value))
        with pytest.raises(BundleError, match="lacks"):
            load_bundle(policy)
        if path[-2:-1] != ("scores",):
            target["unheard_of"] = copy.deepcopy(original) if len(path) == 1 else 1
            target[path[-1]] = "restored"
            value["bundle_hash"] = bundle_hash(value)
            (policy / "manifest.json").write_text(json.dumps(value))
            with pytest.raises(BundleError):
                load_bundle(policy)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b'{"schema_version": 1}',
        b'{"schema_version": 1, "schema_version": 1}',
        b'{"schema_version": NaN}',
        b"\x80\x04}.",
        b'{"a":' * 100_000,
        b'{"a": ' + b"9" * 10_000 + b"}",
        b" " * (2 << 20),
    ],
)
def test_what_is_no_manifest_is_refused(policy: Path, content: bytes) -> None:
    (policy / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest"):
        load_bundle(policy)


@pytest.mark.parametrize(
    "name", ["../weights.safetensors", "/etc/passwd", "weights.safetensors\x00", "extra"]
)
def test_files_beside_the_two_known_ones_are_refused(policy: Path, name: str) -> None:
    def change(value: dict[str, Any]) -> None:
        value["files"][name] = value["files"]["weights.safetensors"]

    rewrite(policy, change)
    with pytest.raises(BundleError, match=r"unknown keys|printable"):
        load_bundle(policy)


def test_a_weight_that_differs_from_the_exported_one_is_found_by_the_golden_vectors(tmp_path: Path) -> None:
    policy = make_random_bundle(tmp_path / "policy").path
    for name in load_tensors((policy / "weights.safetensors").read_bytes()):
        tensors = load_tensors((policy / "weights.safetensors").read_bytes())
        # Not the same for all: a layer norm takes a common shift away again.
        tensors[name] = tensors[name] + np.linspace(-0.05, 0.05, tensors[name].size).reshape(
            tensors[name].shape
        )
        copied = Path(shutil.copytree(policy, tmp_path / name))
        replace_file(
            copied,
            "weights.safetensors",
            save_tensors({key: value.astype(np.float32) for key, value in tensors.items()}),
        )
        with pytest.raises(BundleError, match="golden vectors"):
            load_bundle(copied)


def test_another_policys_weights_are_refused(tmp_path: Path) -> None:
    make_random_bundle(tmp_path / "a", seed=0)
    make_random_bundle(tmp_path / "b", seed=1)
    shutil.copy(tmp_path / "b" / "weights.safetensors", tmp_path / "a" / "weights.safetensors")
    with pytest.raises(BundleError, match="SHA-256"):
        load_bundle(tmp_path / "a")


def test_networks_that_do_not_fit_the_observation_are_refused(policy: Path) -> None:
    rewrite(policy, lambda value: value.update(observation_dim=2))
    with pytest.raises(BundleError, match=r"the actor .* has sizes \(2, 2\), but the rest .* needs \(3, 2\)"):
        load_bundle(policy)
