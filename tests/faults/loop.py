# SPDX-License-Identifier: Apache-2.0
"""The policy's core in virtual time: what the node runs between two messages, without ROS around it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.bundle import Bundle
from meta_rl_core.runtime.adapter import Adapter
from meta_rl_core.runtime.admission import AdmissionRules
from meta_rl_core.runtime.pairing import TransitionPairing
from meta_rl_core.runtime.terms import JointReading, NameMap
from pitaya_nodes.episode import Episode
from tests.helpers.bundles import make_random_bundle

Array = NDArray[np.float64]
FIRST_NS = 1_000_000_000


def make_bundle(folder: Path) -> Bundle:
    """A D'Claw policy with random weights."""
    return make_random_bundle(folder / "policy", "dclaw-turn")


class Core:
    """One policy with its episodes; everything it is given comes by name and by stamp."""

    def __init__(self, bundle: Bundle, seed: int = 0) -> None:
        """Starts with the prior and no episode."""
        self.robot = bundle.robot
        self.adapter = Adapter(bundle, seed, "sample", 1)
        self.pairing: TransitionPairing
        self.names = NameMap(self.robot.joint_names, needs_velocity=self.robot.needs_velocity)
        self.commanded = NameMap(self.robot.action.joints)
        self.episode: Episode
        self.begin_goal()

    def begin_goal(self) -> None:
        """Starts counting transitions and episodes anew; the belief stays."""
        self.pairing = TransitionPairing(AdmissionRules(self.robot.period_s))
        self.episodes = 0

    def begin(self, steps: int, first_ns: int = FIRST_NS) -> Episode:
        """Starts the next episode."""
        self.episode = Episode(self.robot, self.adapter, self.pairing, self.episodes, steps, first_ns)
        self.episodes += 1
        return self.episode

    @property
    def period_ns(self) -> int:
        """Time between policy steps [ns]."""
        return round(self.robot.period_s * 1e9)

    def reading(self, stamp_ns: int, generator: np.random.Generator) -> JointReading:
        """A sound joint state within the joints' limits."""
        count = len(self.robot.joint_names)
        return JointReading(
            stamp_ns,
            self.robot.joint_names,
            generator.uniform(-0.4, 0.4, count),
            generator.normal(size=count),
        )

    def belief_numbers(self) -> Array:
        """Everything in the belief that could stop being finite."""
        belief = self.adapter.belief
        return np.concatenate([belief.mean, belief.variance, belief.evidence_precision_mean])
