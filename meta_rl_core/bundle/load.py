# SPDX-License-Identifier: Apache-2.0
"""Loads a policy bundle, or refuses it and says why: the trust boundary between training and a robot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.bundle.files import build_tensors, read_bounded, sha256_of, tensor_shapes
from meta_rl_core.bundle.golden import GoldenErrors, check_golden_shapes, check_shapes, replay_golden
from meta_rl_core.bundle.manifest import (
    CHANGE,
    GOLDEN_FILE,
    HYPOTHESES,
    MANIFEST_FILE,
    WEIGHTS_FILE,
    Manifest,
    bundle_hash,
)
from meta_rl_core.bundle.schema import LARGEST_TENSORS_BYTES, read_manifest
from meta_rl_core.errors import BundleError, InvalidValueError, JointMismatchError, PitayaError
from meta_rl_core.runtime.inference import Network
from meta_rl_core.runtime.robot_interface import RobotInterface
from meta_rl_core.runtime.strict_json import parse_json

Array = NDArray[np.float64]
LARGEST_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class Bundle:
    """A policy that passed every check.

    Attributes:
        path: Where it was loaded from.
        manifest: Everything but the weights.
        hash: SHA-256 that names manifest, weights and golden vectors together.
        weights: Read-only float64 arrays by name.
        golden_errors: How closely the runtime reproduced the golden vectors.
    """

    path: Path
    manifest: Manifest
    hash: str
    weights: Mapping[str, Array]
    golden_errors: GoldenErrors

    @property
    def robot(self) -> RobotInterface:
        """What a robot must offer.

        Raises:
            BundleError: If the policy's family runs on no robot.
        """
        if self.manifest.robot is None:
            raise BundleError(
                f"{self.path}: family {self.manifest.family} describes no robot, so none can run it"
            )
        return self.manifest.robot

    def actor(self) -> Network:
        """A new instance of the actor, sharing the weights."""
        return Network(self.manifest.actor, self.weights, "actor")

    def encoder(self) -> Network:
        """A new instance of the encoder, sharing the weights."""
        return Network(self.manifest.encoder, self.weights, "encoder")

    def change(self) -> Network | None:
        """A new instance of the network that tells changed tasks, sharing the weights; None if there is none."""
        return Network(self.manifest.change, self.weights, CHANGE) if self.manifest.change else None

    @property
    def hypotheses(self) -> Array | None:
        """What z was for each training task, shape (K, latent), or None if the bundle does not say."""
        return self.weights.get(HYPOTHESES)

    def check_robot(self, joint_names: Sequence[str]) -> None:
        """Checks that a robot offers every joint the policy needs; extra joints and another order are fine.

        Raises:
            JointMismatchError: If a joint is missing or a name repeats; names what differs.
            BundleError: If the policy's family runs on no robot.
        """
        needed, offered = self.robot.joint_names, tuple(joint_names)
        missing = [name for name in needed if name not in offered]
        repeated = sorted({name for name in offered if offered.count(name) > 1})
        if missing or repeated:
            extra = [name for name in offered if name not in needed]
            raise JointMismatchError(
                f"the robot does not fit bundle {self.manifest.name!r}: missing {_list(missing)}; "
                f"repeated {_list(repeated)}; not used by the policy {_list(extra)}. "
                f"The policy needs {_list(needed)}"
            )


def load_bundle(path: str | Path) -> Bundle:
    """Loads and checks a bundle: schema, hashes, shapes, finite weights, golden vectors.

    Raises:
        BundleError: If it must not be used; the message names the file and the reason.
    """
    directory = Path(path)
    try:
        return _load(directory)
    except BundleError as error:
        raise BundleError(f"bundle {directory} refused: {error}") from error
    except PitayaError as error:
        raise BundleError(f"bundle {directory} refused: {error}") from error


def _load(directory: Path) -> Bundle:
    if not directory.is_dir():
        raise BundleError("there is no such directory")
    value = parse_manifest(read_bounded(directory, MANIFEST_FILE, LARGEST_MANIFEST_BYTES))
    manifest = read_manifest(value)
    weights_data, golden_data = (
        _read_recorded(directory, name, manifest) for name in (WEIGHTS_FILE, GOLDEN_FILE)
    )
    weight_shapes = tensor_shapes(WEIGHTS_FILE, weights_data)
    check_shapes(WEIGHTS_FILE, weight_shapes, manifest.weight_shapes)
    golden_shapes = tensor_shapes(GOLDEN_FILE, golden_data)
    check_golden_shapes(manifest, golden_shapes)
    weights = build_tensors(WEIGHTS_FILE, weights_data, weight_shapes)
    golden = build_tensors(GOLDEN_FILE, golden_data, golden_shapes)
    actor = Network(manifest.actor, weights, "actor")
    encoder = Network(manifest.encoder, weights, "encoder")
    change = Network(manifest.change, weights, CHANGE) if manifest.change else None
    errors = replay_golden(manifest, actor, encoder, golden, change)
    return Bundle(directory, manifest, bundle_hash(value), weights, errors)


def parse_manifest(data: bytes) -> dict[str, object]:
    """Parses the manifest file.

    Raises:
        InvalidValueError: If it is not a JSON object.
    """
    try:
        return parse_json(data)
    except InvalidValueError as error:
        raise InvalidValueError(f"{MANIFEST_FILE} {error}") from error


def _read_recorded(directory: Path, name: str, manifest: Manifest) -> bytes:
    record = manifest.files[name]
    data = read_bounded(directory, name, LARGEST_TENSORS_BYTES)
    if len(data) != record.bytes:
        raise InvalidValueError(
            f"{name} has {len(data)} bytes, the manifest says {record.bytes}: cut or changed"
        )
    if sha256_of(data) != record.sha256:
        raise InvalidValueError(f"{name} has SHA-256 {sha256_of(data)}, the manifest says {record.sha256}")
    return data


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
