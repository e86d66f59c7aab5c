# SPDX-License-Identifier: Apache-2.0
"""Every error a user can meet: what was got, what is allowed, what to do."""

from __future__ import annotations

from collections.abc import Iterable


class PitayaError(Exception):
    """Root of all errors Pitaya raises on purpose; the command line and the nodes catch only this one."""


class UnknownNameError(PitayaError):
    """A family, reward model, plant or preset that nobody registered."""

    def __init__(self, kind: str, name: str, known: Iterable[str], reason: str = "") -> None:
        """Names what was asked for, why it cannot be had if more is known than that, and what would have worked."""
        choices = ", ".join(sorted(known)) or "none (is the package installed?)"
        because = f": {reason}" if reason else ""
        super().__init__(
            f"unknown {kind} {name!r}{because}; known: {choices}. A name of the form 'package.module:Attribute' works "
            "too."
        )


class InvalidValueError(PitayaError):
    """A number, shape or option outside what is allowed."""


class NonFiniteError(PitayaError):
    """NaN or infinity where only finite numbers may pass."""


class JointMismatchError(PitayaError):
    """Joint names that do not cover what is needed."""


class BadReadingError(PitayaError):
    """A sensor reading of the wrong length or with non-finite numbers."""


class BundleError(PitayaError):
    """A policy bundle that must not be used."""


class CheckpointError(PitayaError):
    """A training checkpoint that is missing, damaged or of another family, preset or version."""


class JournalError(PitayaError):
    """A journal that must not be used: of another policy or robot, in use, damaged, or no journal."""


class ContractError(PitayaError):
    """A task family that breaks the contract of `meta_rl_core.tasks`."""


class TrainingDivergedError(PitayaError):
    """A loss that stopped being finite; the last good checkpoint is intact."""
