# SPDX-License-Identifier: Apache-2.0
"""What an adapter must remember to continue with the same bits, as strictly read JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.belief import TaskBelief
from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.fields import Fields

Array = NDArray[np.float64]
STATE_VERSION = 1
_LARGEST_COUNT = 2**53


@dataclass(frozen=True, eq=False)
class AdapterState:
    """A snapshot of an adapter.

    Attributes:
        bundle_hash: The policy it belongs to; beliefs of another policy mean nothing to it.
        belief: The belief about the task.
        z: The hypothesis acted on, shape (latent,), or None between reset and the first episode.
        episodes_begun: Number of episodes since the reset.
        generator: State of the PCG64 random stream, as NumPy gives it.
        steps: Steps taken in the present episode.
    """

    bundle_hash: str
    belief: TaskBelief
    z: Array | None
    episodes_begun: int
    generator: Mapping[str, Any]
    steps: int = 0


def state_to_dict(state: AdapterState) -> dict[str, Any]:
    """The state as a JSON object; Python's JSON writes floats so that they read back to the bit."""
    belief = state.belief
    return {
        "state_version": STATE_VERSION,
        "bundle_hash": state.bundle_hash,
        "evidence_precision": belief.evidence_precision.tolist(),
        "evidence_precision_mean": belief.evidence_precision_mean.tolist(),
        "transitions": belief.transitions,
        "prior_in_product": belief.prior_in_product,
        "z": None if state.z is None else state.z.tolist(),
        "episodes_begun": state.episodes_begun,
        "generator": generator_to_dict(state.generator),
        "steps": state.steps,
    }


def generator_to_dict(stream: Mapping[str, Any]) -> dict[str, int]:
    """The state of a PCG64 stream, as NumPy gives it, as a flat JSON object."""
    return {
        "state": int(stream["state"]["state"]),
        "inc": int(stream["state"]["inc"]),
        "has_uint32": int(stream["has_uint32"]),
        "uinteger": int(stream["uinteger"]),
    }


def read_state(saved: object, bundle_hash: str, latent_dim: int, prior_in_product: bool) -> AdapterState:
    """Reads what `state_to_dict` wrote, for one particular policy.

    Raises:
        InvalidValueError: If a key is missing, unknown or out of range, or the state is another policy's.
        NonFiniteError: If it holds NaN or infinity.
    """
    fields = Fields(saved, "belief state")
    fields.integer("state_version", STATE_VERSION, STATE_VERSION)
    owner = fields.text("bundle_hash", longest=64)
    if owner != bundle_hash:
        raise InvalidValueError(
            f"the belief state belongs to the policy with hash {owner!r}, this one has {bundle_hash!r}: "
            "load the bundle it was saved with, or reset the belief"
        )
    if fields.flag("prior_in_product") != prior_in_product:
        raise InvalidValueError(f"belief state: prior_in_product must be {prior_in_product} as in the bundle")
    belief = TaskBelief(
        _vector(fields, "evidence_precision", latent_dim),
        _vector(fields, "evidence_precision_mean", latent_dim),
        fields.integer("transitions", 0, _LARGEST_COUNT),
        prior_in_product,
    )
    _check_evidence(belief)
    state = AdapterState(
        owner,
        belief,
        None if fields.raw("z") is None else _vector(fields, "z", latent_dim),
        fields.integer("episodes_begun", 0, _LARGEST_COUNT),
        _read_generator(fields.inner("generator")),
        # Beliefs saved before exploring episodes could try several hypotheses do not say.
        fields.integer("steps", 0, _LARGEST_COUNT) if "steps" in fields.values else 0,
    )
    fields.finish()
    return state


def _check_evidence(belief: TaskBelief) -> None:
    if belief.transitions and not (belief.evidence_precision > 0.0).all():
        raise InvalidValueError("belief state: with transitions, every evidence_precision must be positive")
    if not belief.transitions and (belief.evidence_precision.any() or belief.evidence_precision_mean.any()):
        raise InvalidValueError("belief state: without transitions there can be no evidence")


def _vector(fields: Fields, key: str, size: int) -> Array:
    numbers = fields.numbers(key, most=size)
    if len(numbers) != size:
        raise InvalidValueError(f"belief state: {key} must have {size} numbers, got {len(numbers)}")
    return np.array(numbers, dtype=np.float64)


def _read_generator(fields: Fields) -> dict[str, Any]:
    generator: dict[str, Any] = {
        "bit_generator": "PCG64",
        "state": {
            "state": fields.integer("state", 0, 2**128 - 1),
            "inc": fields.integer("inc", 0, 2**128 - 1),
        },
        "has_uint32": fields.integer("has_uint32", 0, 1),
        "uinteger": fields.integer("uinteger", 0, 2**32 - 1),
    }
    fields.finish()
    if generator["state"]["inc"] % 2 == 0:
        raise InvalidValueError("belief state: the increment of a PCG64 stream is odd; this one is damaged")
    return generator
