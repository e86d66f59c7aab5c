# SPDX-License-Identifier: Apache-2.0
"""Errors of a running graph, beside those of the core."""

from __future__ import annotations

from meta_rl_core.errors import PitayaError


class PlantError(PitayaError):
    """The robot or simulator does not answer, or refuses."""


class RewardMissingError(PitayaError):
    """Nobody judges what the policy does."""


class GoalMissingError(PitayaError):
    """Nobody tells where joints should go that the policy must be told."""


class GoalStoppedError(PitayaError):
    """A goal that ends early: budget spent or node deactivated."""


class GoalCancelledError(PitayaError):
    """A goal that its client cancelled."""


class BringUpError(PitayaError):
    """A graph of nodes that cannot be described, started or brought to its active state."""


class RecordingError(PitayaError):
    """A recording that cannot be written or read."""


class RealtimeError(PitayaError):
    """A priority that this user may not have."""


class SecurityError(PitayaError):
    """Security was asked for and cannot be had, or a policy file that must not be used."""
