# SPDX-License-Identifier: Apache-2.0
"""Fits a body to recorded motion by Levenberg-Marquardt on the error of one-period predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.errors import InvalidValueError
from sim_bridge.identify.body import Body, BodyModel
from sim_bridge.identify.record import Steps
from sim_bridge.identify.steps import predict

Array = NDArray[np.float64]

QUANTITIES = ("servo_gain_n_m_rad", "joint_friction_n_m", "latency_s", "valve_friction_n_m")
LEAST_STEPS = 40
_LOW = np.array([0.1, 0.0, 0.0, 0.0])
_HIGH = np.array([50.0, 0.5, 0.1, 2.0])
_UNIT = np.array([0.1, 0.02, 0.01, 0.05])
"""Natural steps: a tenth of the gain (fitted as its logarithm) and these amounts of the others."""
_STARTS = tuple(
    (gain, 0.02, latency_s, 0.1)
    for gain in (2.0, 4.0, 7.0, 11.0, 15.0, 20.0)
    for latency_s in (0.01, 0.04, 0.07)
)
_SEARCHES = 2
_SCALE = np.repeat([0.01, 0.2], 10)
"""An error of 0.01 rad weighs as much as one of 0.2 rad/s."""
_LARGEST_RESIDUAL = 5.0
_LEAST_IMPROVEMENT = 1e-4
_LEAST_TOUCHED = 5
_MOVED_RAD = 0.005


@dataclass(frozen=True)
class Fit:
    """What was found.

    Attributes:
        body: The body that predicts best.
        std: Standard error of each of `QUANTITIES`, shape (4,), in their units.
        position_rms_rad: Root mean square error of the predicted joint positions [rad].
        steps: Periods used.
        touched: Periods in which the valve moved; with few of them its friction is unknown.
    """

    body: Body
    std: Array
    position_rms_rad: float
    steps: int
    touched: int

    @property
    def valve_friction_known(self) -> bool:
        """Whether the valve moved often enough to say anything of its friction."""
        return self.touched >= _LEAST_TOUCHED


def fit_body(steps: Steps, prongs: int = 3, searches: int = _SEARCHES, iterations: int = 12) -> Fit:
    """The body whose simulated motion is nearest to the recorded one.

    Args:
        steps: Recorded periods; 8 s of motion that touches the valve suffice.
        prongs: The valve's prongs, 3 or 4, which one sees and need not fit.
        searches: How many of the best starting points to search from.
        iterations: Most steps of each search.

    Raises:
        InvalidValueError: If there are too few periods or the fingers never moved.
    """
    if len(steps) < LEAST_STEPS:
        raise InvalidValueError(f"a fit needs at least {LEAST_STEPS} periods of motion, got {len(steps)}")
    if np.abs(steps.after[:, :9] - steps.before[:, :9]).max() < _MOVED_RAD:
        raise InvalidValueError("the fingers never moved, so nothing can be said of their servos")
    made, problem = BodyModel(), _Problem(steps, prongs)
    starts = sorted(
        (_encode(np.array(start)) for start in _STARTS), key=lambda start: problem.cost(made, start)
    )
    found = [_descend(problem, made, start, iterations) for start in starts[:searches]]
    point, residual = min(found, key=lambda end: float(end[1] @ end[1]))
    return problem.result(made, point, residual)


def _descend(problem: _Problem, made: BodyModel, start: Array, iterations: int) -> tuple[Array, Array]:
    """Levenberg-Marquardt from one start; the point it ends at and the residual there."""
    point, residual, damping = start, problem.residual(made, start), 1e-2
    for _ in range(iterations):
        jacobian = problem.jacobian(made, point)
        hessian, slope = jacobian.T @ jacobian, jacobian.T @ residual
        improved = 0.0
        while improved == 0.0 and damping < 1e6:
            ridge = damping * np.diag(np.diag(hessian) + 1e-9)
            candidate = _bounded(point - np.linalg.solve(hessian + ridge, slope))
            trial = problem.residual(made, candidate)
            if trial @ trial < residual @ residual:
                improved = 1.0 - float(trial @ trial) / float(residual @ residual)
                point, residual, damping = candidate, trial, damping / 5.0
            else:
                damping *= 5.0
        if improved < _LEAST_IMPROVEMENT:
            break
    return point, residual


class _Problem:
    """The steps to explain and how badly a point in the search space explains them."""

    def __init__(self, steps: Steps, prongs: int) -> None:
        self.steps, self.prongs = steps, prongs

    def residual(self, made: BodyModel, point: Array) -> Array:
        """Scaled errors of all predictions, clipped so that a missed contact cannot outweigh everything."""
        error = (predict(made, self.body(point), self.steps) - self.steps.after) / _SCALE
        return np.clip(error, -_LARGEST_RESIDUAL, _LARGEST_RESIDUAL).ravel()

    def cost(self, made: BodyModel, point: Array) -> float:
        residual = self.residual(made, point)
        return float(residual @ residual)

    def jacobian(self, made: BodyModel, point: Array) -> Array:
        """Central differences, each a tenth of a natural step to either side where bounds allow."""
        columns = []
        for index in range(len(point)):
            ends = []
            for side in (-0.1, 0.1):
                moved = point.copy()
                moved[index] += side
                ends.append(_bounded(moved))
            width = ends[1][index] - ends[0][index]
            columns.append((self.residual(made, ends[1]) - self.residual(made, ends[0])) / width)
        return np.stack(columns, axis=1)

    def body(self, point: Array) -> Body:
        gain, joint_friction, latency_s, valve_friction = (float(value) for value in _decode(point))
        return Body(gain, joint_friction, latency_s, valve_friction, self.prongs)

    def result(self, made: BodyModel, point: Array, residual: Array) -> Fit:
        jacobian = self.jacobian(made, point)
        spread = residual @ residual / max(1, len(residual) - len(point))
        covariance = spread * np.linalg.pinv(jacobian.T @ jacobian)
        std = np.sqrt(np.diag(covariance)) * _UNIT
        std[0] *= _decode(point)[0]
        error = (predict(made, self.body(point), self.steps) - self.steps.after)[:, :10]
        touched = int((np.abs(self.steps.after[:, 9] - self.steps.before[:, 9]) > _MOVED_RAD).sum())
        return Fit(self.body(point), std, float(np.sqrt(np.mean(error**2))), len(self.steps), touched)


def _encode(values: Array) -> Array:
    return np.concatenate([np.log(values[:1]), values[1:]]) / _UNIT


def _decode(point: Array) -> Array:
    values = point * _UNIT
    return np.concatenate([np.exp(values[:1]), values[1:]])


def _bounded(point: Array) -> Array:
    return np.clip(point, _encode(_LOW), _encode(_HIGH))
