# SPDX-License-Identifier: Apache-2.0
"""Golden vectors: what the exported torch networks answered, replayed by the runtime before it says ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.belief import TaskBelief
from meta_rl_core.errors import BundleError, InvalidValueError
from meta_rl_core.runtime.context import change_row, context_row
from meta_rl_core.runtime.inference import Network, deterministic_action, gaussian_factor

if TYPE_CHECKING:
    from meta_rl_core.bundle.manifest import Manifest

Array = NDArray[np.float64]
CONTEXTS, TRANSITIONS, ACTIONS = 32, 16, 32
FEWEST, MOST_ROWS = 8, 16_384
ABSOLUTE_TOLERANCE = 1e-5
MEAN_RELATIVE_TOLERANCE = 1e-5
VARIANCE_RELATIVE_TOLERANCE = 1e-4
CHANGE_RELATIVE_TOLERANCE = 1e-4


class GoldenErrors(NamedTuple):
    """Largest absolute differences between the golden vectors and their replay."""

    belief_mean: float
    belief_variance: float
    action: float
    change_log_odds: float = 0.0


def check_golden_shapes(manifest: Manifest, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Checks names and shapes of the golden tensors.

    With N contexts of T transitions and M actions: `context_observation` (N, T, O), `context_action`
    (N, T, A), `context_reward` (N, T), raw, before `reward_scale_in_context`; `context_next_observation`
    (N, T, O); `belief_mean` and `belief_variance` (N, latent); `observation` (M, O), `z` (M, latent),
    `action` (M, A). Where the bundle can tell changed tasks, `change_log_odds` (N, T): of each transition of a context
    against the belief of the next context, the first one's following the last.

    Raises:
        InvalidValueError: If one is missing, unknown or of another shape.
    """
    observation, action, latent = manifest.observation_dim, manifest.action_dim, manifest.latent_dim
    contexts, transitions = (*shapes.get("context_reward", ()), 0, 0)[:2]
    actions = (*shapes.get("observation", ()), 0)[0]
    # Bounded, so that a hostile file cannot keep a robot busy for minutes.
    if max(contexts * transitions, actions) > MOST_ROWS or min(contexts, actions) < FEWEST:
        raise InvalidValueError(
            f"golden vectors need at least {FEWEST} contexts and actions and at most {MOST_ROWS} rows, "
            f"got {contexts} contexts of {transitions} and {actions} actions"
        )
    expected = {
        "context_observation": (contexts, transitions, observation),
        "context_action": (contexts, transitions, action),
        "context_reward": (contexts, transitions),
        "context_next_observation": (contexts, transitions, observation),
        "belief_mean": (contexts, latent),
        "belief_variance": (contexts, latent),
        "observation": (actions, observation),
        "z": (actions, latent),
        "action": (actions, action),
    }
    if manifest.change:
        expected["change_log_odds"] = (contexts, transitions)
    check_shapes("golden tensors", shapes, expected)


def check_shapes(
    what: str, shapes: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]
) -> None:
    """Compares tensor names and shapes.

    Raises:
        InvalidValueError: Naming the first that is missing, unknown or of another shape.
    """
    for name in sorted({*shapes, *expected}):
        got, needed = shapes.get(name), expected.get(name)
        if got != needed:
            raise InvalidValueError(f"{what}: {name} has shape {got or 'none'}, needed {needed or 'none'}")


def replay_golden(
    manifest: Manifest,
    actor: Network,
    encoder: Network,
    golden: Mapping[str, Array],
    change: Network | None = None,
) -> GoldenErrors:
    """Answers the golden vectors with the runtime's own code, row by row as on a robot.

    Raises:
        BundleError: If a belief or an action differs by more than the tolerance.
    """
    rows = context_row(
        golden["context_observation"],
        golden["context_action"],
        golden["context_reward"],
        golden["context_next_observation"] if manifest.next_observation_in_context else None,
        manifest.reward_scale_in_context,
    )
    factor_mean, factor_variance = gaussian_factor(encoder(rows))
    prior = TaskBelief.prior(manifest.latent_dim, manifest.prior_in_product)
    beliefs = [
        prior.observe(mean, variance, transitions=len(mean))
        for mean, variance in zip(factor_mean, factor_variance, strict=True)
    ]
    mean = np.stack([belief.mean for belief in beliefs])
    variance = np.stack([belief.variance for belief in beliefs])
    action = deterministic_action(actor(np.concatenate([golden["observation"], golden["z"]], axis=-1)))
    return GoldenErrors(
        _compare("belief_mean", mean, golden["belief_mean"], MEAN_RELATIVE_TOLERANCE),
        _compare("belief_variance", variance, golden["belief_variance"], VARIANCE_RELATIVE_TOLERANCE),
        _compare("action", action, golden["action"], 0.0),
        0.0 if change is None else _replay_change(manifest, change, golden),
    )


def _replay_change(manifest: Manifest, change: Network, golden: Mapping[str, Array]) -> float:
    expected = golden["change_log_odds"]
    got = change(golden_change_rows(golden, manifest.reward_scale_in_context))[..., 0]
    return _compare("change_log_odds", got, expected, CHANGE_RELATIVE_TOLERANCE)


def golden_change_rows(golden: Mapping[str, Array], reward_scale: float) -> Array:
    """What the change network reads in the golden vectors, shape (N, T, row)."""
    mean, variance = (np.roll(golden[f"belief_{name}"], -1, axis=0) for name in ("mean", "variance"))
    return change_row(
        golden["context_observation"],
        golden["context_action"],
        golden["context_reward"],
        golden["context_next_observation"],
        reward_scale,
        np.repeat(mean[:, np.newaxis], golden["context_reward"].shape[1], axis=1),
        np.repeat(variance[:, np.newaxis], golden["context_reward"].shape[1], axis=1),
    )


def _compare(name: str, got: Array, expected: Array, relative: float) -> float:
    difference = np.abs(got - expected)
    if not (difference <= ABSOLUTE_TOLERANCE + relative * np.abs(expected)).all():
        raise BundleError(
            f"golden vectors: {name} is off by up to {np.nanmax(difference):.3g}, allowed are "
            f"{ABSOLUTE_TOLERANCE:g} plus {relative:g} of the value: "
            "these weights do not do here what they did when exported"
        )
    return float(difference.max())
