# SPDX-License-Identifier: Apache-2.0
"""Loads the D'Claw model and knows how its joints lie in MuJoCo's state vector."""

from __future__ import annotations

from importlib.resources import files

import mujoco
import numpy as np
from numpy.typing import NDArray

from meta_rl_core.families.dclaw_turn import CLAW_JOINTS, PERIOD_S, RESET_POSE_RAD, VALVE_JOINT
from sim_bridge.batch_physics import FULL_PHYSICS
from sim_bridge.checks import SimulationError
from sim_bridge.seeding import start_generator

Array = NDArray[np.float64]

JOINTS = (*CLAW_JOINTS, VALVE_JOINT)
JOINT_COUNT = len(JOINTS)
POSITION = slice(1, 1 + JOINT_COUNT)
"""Joint positions within the full physics state; time comes first."""
VELOCITY = slice(1 + JOINT_COUNT, 1 + 2 * JOINT_COUNT)
STATE_SIZE = 1 + 2 * JOINT_COUNT
_START_RANGE_RAD = np.pi / 3


def load_model() -> mujoco.MjModel:
    """Compiles the D'Claw model shipped with this package.

    Raises:
        SimulationError: If the joints are not the ten expected ones in the expected order.
    """
    model = mujoco.MjModel.from_xml_string(
        files("sim_bridge").joinpath("models/dclaw.xml").read_text(encoding="utf-8")
    )
    names = tuple(model.joint(index).name for index in range(model.njnt))
    if names != JOINTS or mujoco.mj_stateSize(model, FULL_PHYSICS) != STATE_SIZE:
        raise SimulationError(
            f"the D'Claw model must have the joints {', '.join(JOINTS)} and no other state, got {names}"
        )
    return model


def substeps_per(duration_s: float, model: mujoco.MjModel) -> int:
    """How many physics steps a duration takes.

    Raises:
        SimulationError: If it is not a positive multiple of the model's time step.
    """
    steps = round(duration_s / model.opt.timestep)
    if steps < 1 or abs(steps * model.opt.timestep - duration_s) > 1e-9:
        raise SimulationError(
            f"a duration must be a positive multiple of {model.opt.timestep} s, got {duration_s} s"
        )
    return steps


def policy_substeps(model: mujoco.MjModel) -> int:
    """Physics steps in one policy step (40)."""
    return substeps_per(PERIOD_S, model)


def start_state(world_seed: int) -> Array:
    """Full physics state at the start of an episode, shape (21,).

    The claw stands exactly in the reset pose (not settled: it sags by about 0.03 rad in the first tenths of a
    second), everything at rest, the valve uniform within 60 degrees of zero.
    """
    state = np.zeros(STATE_SIZE)
    state[POSITION][:-1] = RESET_POSE_RAD
    state[POSITION][-1] = start_generator(world_seed).uniform(-_START_RANGE_RAD, _START_RANGE_RAD)
    return state
