# SPDX-License-Identifier: Apache-2.0
"""The quantities of a D'Claw's body that are fitted, and the MuJoCo model that has them."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim_bridge.dclaw.dynamics import BodyBuilder
from sim_bridge.dclaw.model import policy_substeps

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Body:
    """What a hand over a valve is like.

    Attributes:
        servo_gain_n_m_rad: Stiffness of the nine servos [N m/rad].
        joint_friction_n_m: Dry friction of each finger joint [N m].
        latency_s: Time from a measurement until its command acts [s].
        valve_friction_n_m: Dry friction of the valve [N m].
        prongs: 3 or 4.
    """

    servo_gain_n_m_rad: float
    joint_friction_n_m: float
    latency_s: float
    valve_friction_n_m: float
    prongs: int = 3


class BodyModel:
    """Makes the compiled model of any body; its two base models are compiled once."""

    def __init__(self) -> None:
        """Compiles both valves."""
        self._builder = BodyBuilder()

    def build(self, body: Body) -> mujoco.MjModel:
        """A model of its own."""
        task = np.array([0.0, body.servo_gain_n_m_rad, body.valve_friction_n_m, 0.0, body.prongs])
        model = self._builder.build(task)
        model.dof_frictionloss[:9] = body.joint_friction_n_m
        model.dof_solimp[:9] = model.dof_solimp[9]
        self._steps, self._timestep_s = policy_substeps(model), float(model.opt.timestep)
        return model

    def control(self, body: Body, former: Array, command: Array) -> Array:
        """What the servos are told at each physics step of a period, shape (N, steps, 9).

        In the physics step in which the latency ends both commands have their share, so that a fit sees every
        change of the latency.
        """
        share = np.clip(np.arange(self._steps) + 1.0 - body.latency_s / self._timestep_s, 0.0, 1.0)
        return former[:, None] + share[None, :, None] * (command - former)[:, None]
