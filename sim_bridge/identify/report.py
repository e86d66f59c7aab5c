# SPDX-License-Identifier: Apache-2.0
"""Turns a fit into ranges to train on and into numbers to read."""

from __future__ import annotations

from meta_rl_core.families.dclaw_dynamics import DynamicsRanges
from meta_rl_core.families.dynamics_file import around
from sim_bridge.identify.fit import QUANTITIES, Fit

_LEAST_HALF_WIDTH = {"servo_gain_n_m_rad": 0.2, "latency_s": 0.005, "valve_friction_n_m": 0.02}
"""A fit to one recording knows its own noise and not that of the next day."""


def make_ranges(fit: Fit, margin: float) -> DynamicsRanges:
    """Ranges of what was measured plus and minus three standard errors, the margin or a least width, whatever is most.

    Where the valve hardly moved its friction keeps the widest range.
    """
    bounds = {}
    for name, least in _LEAST_HALF_WIDTH.items():
        value, std = getattr(fit.body, name), float(fit.std[QUANTITIES.index(name)])
        bounds[name] = around(name, value, max(3.0 * std, margin * value, least))
    if not fit.valve_friction_known:
        bounds["valve_friction_n_m"] = DynamicsRanges().valve_friction_n_m
    prongs = float(fit.body.prongs)
    return DynamicsRanges(**bounds, prongs=(prongs, prongs))


def tell(fit: Fit) -> dict[str, float | int]:
    """Measured values, how well they explain the motion, and how much of it there was."""
    values = {name: round(float(getattr(fit.body, name)), 5) for name in QUANTITIES}
    return {
        **values,
        "position_rms_rad": round(fit.position_rms_rad, 6),
        "periods": fit.steps,
        "periods_valve_moved": fit.touched,
    }
