# SPDX-License-Identifier: Apache-2.0
"""Tensor files made to hurt the reader are refused before anything is built or run."""

from __future__ import annotations

import json
import os
import pickle  # noqa: TID251 - to prove that a pickle is not read
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from meta_rl_core.bundle import load_bundle
from meta_rl_core.bundle.files import build_tensors, tensor_shapes
from meta_rl_core.errors import BundleError, PitayaError
from tests.helpers.forgery import FILES, replace_file


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", FILES[1:])
def test_numbers_that_are_not_finite_are_refused(policy: Path, name: str, value: float) -> None:
    tensors = load_tensors((policy / name).read_bytes())
    first = sorted(tensors)[0]
    tensors[first].flat[0] = value
    replace_file(policy, name, save_tensors(tensors))
    with pytest.raises(BundleError, match=f"{first} holds NaN or infinity"):
        load_bundle(policy)


def change_tensors(kind: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def change(tensors: dict[str, Any]) -> dict[str, Any]:
        first = sorted(tensors)[0]
        if kind == "missing":
            del tensors[first]
        elif kind == "extra":
            tensors["extra"] = np.zeros(1, np.float32)
        elif kind == "float64":
            tensors[first] = tensors[first].astype(np.float64)
        elif kind == "integer":
            tensors[first] = tensors[first].astype(np.int32)
        elif kind == "flat":
            tensors[first] = tensors[first].reshape(1, -1)
        else:
            tensors[first] = np.concatenate([tensors[first], tensors[first]])
        return tensors

    return change


@pytest.mark.parametrize("name", FILES[1:])
@pytest.mark.parametrize("kind", ["missing", "extra", "float64", "integer", "flat", "longer"])
def test_tensors_of_the_wrong_kind_or_shape_are_refused(policy: Path, name: str, kind: str) -> None:
    tensors = change_tensors(kind)(load_tensors((policy / name).read_bytes()))
    replace_file(policy, name, save_tensors(tensors))
    with pytest.raises(BundleError, match=r"has shape|must be a float32|need at least 8"):
        load_bundle(policy)


def header(entries: dict[str, Any], payload: bytes = b"") -> bytes:
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + payload


class Canary:
    """Would leave a file behind if anybody unpickled it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, int]]:
        return os.mkdir, (self.path, 0o700)


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
HOSTILE = {
    "empty": b"",
    "short": b"1234567",
    "header longer than the file": (10**6).to_bytes(8, "little") + b"{}",
    "header of 2^64 - 1 bytes": b"\xff" * 8 + b"{}",
    "no tensors": header({}),
    "metadata": header({"__metadata__": {"a": "b"}, "actor.0.weight": ONE}, b"\0" * 4),
    "offsets beyond the file": header({"actor.0.weight": {**ONE, "data_offsets": [0, 400]}}, b"\0" * 4),
    "offsets backwards": header({"actor.0.weight": {**ONE, "data_offsets": [4, 0]}}, b"\0" * 4),
    "negative shape": header({"actor.0.weight": {**ONE, "shape": [-1]}}, b"\0" * 4),
    "true as a size": header({"actor.0.weight": {**ONE, "shape": [True]}}, b"\0" * 4),
    "overflowing shape": header({"actor.0.weight": {**ONE, "shape": [2**31 - 1] * 8}}, b"\0" * 4),
    "shape of a thousand dimensions": header({"actor.0.weight": {**ONE, "shape": [1] * 1000}}, b"\0" * 4),
    "two tensors in one place": header({"a": ONE, "b": ONE}, b"\0" * 4),
    "bytes nobody owns": header({"actor.0.weight": ONE}, b"\0" * 400),
    "repeated key": (9).to_bytes(8, "little") + b'{"a":1,"a":2}'[:9],
    "not JSON": header({"a": ONE}).replace(b"{", b"[", 1),
    "deeply nested": (200_000).to_bytes(8, "little") + b'{"a":' * 40_000,
    "a thousand and one tensors": header({str(i): ONE for i in range(1001)}, b"\0" * 4),
    "half floats": header({"actor.0.weight": {**ONE, "dtype": "F16"}}, b"\0" * 4),
    "unknown dtype": header({"actor.0.weight": {**ONE, "dtype": "X"}}, b"\0" * 4),
    "a zip as torch writes": b"PK\x03\x04" + b"\0" * 100,
    "an npy file": b"\x93NUMPY\x01\x00" + b"\0" * 100,
}


@pytest.mark.parametrize("name", FILES[1:])
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_tensor_files_are_refused(policy: Path, name: str, kind: str) -> None:
    data = HOSTILE[kind]
    (policy / name).write_bytes(data)
    with pytest.raises(BundleError):
        load_bundle(policy)
    replace_file(policy, name, data)
    with pytest.raises(BundleError):
        load_bundle(policy)


@pytest.mark.parametrize("name", FILES)
def test_a_pickle_is_never_run(policy: Path, tmp_path: Path, name: str) -> None:
    canary = tmp_path / "canary"
    data = pickle.dumps(Canary(str(canary)))
    (policy / name).write_bytes(data)
    with pytest.raises(BundleError):
        load_bundle(policy)
    if name != "manifest.json":
        replace_file(policy, name, data)
        with pytest.raises(BundleError):
            load_bundle(policy)
    assert not canary.exists()


def test_a_file_above_the_size_cap_is_refused_unread(policy: Path) -> None:
    with (policy / "weights.safetensors").open("r+b") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(BundleError, match="more than the allowed"):
        load_bundle(policy)


def test_the_tensor_reader_alone_survives_every_truncation_and_flip(whole: Path) -> None:
    data = (whole / "weights.safetensors").read_bytes()
    generator = np.random.default_rng(1)
    damaged = [data[:length] for length in range(len(data))]
    for bit in generator.choice(8 * len(data), size=1000, replace=False):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << (bit % 8)
        damaged.append(bytes(flipped))
    for content in damaged:
        try:
            tensors = build_tensors("weights", content, tensor_shapes("weights", content))
        except PitayaError:
            continue
        assert all(np.isfinite(value).all() for value in tensors.values())


def test_golden_vectors_that_would_take_minutes_to_replay_are_refused(policy: Path) -> None:
    golden = load_tensors((policy / "golden.safetensors").read_bytes())
    for name, value in golden.items():
        golden[name] = np.zeros(
            (2049, 8, *value.shape[2:]) if name.startswith("context") else value.shape, np.float32
        )
    replace_file(policy, "golden.safetensors", save_tensors(golden))
    with pytest.raises(BundleError, match="at most 16384 rows, got 2049 contexts of 8"):
        load_bundle(policy)
