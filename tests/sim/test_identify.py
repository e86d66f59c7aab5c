# SPDX-License-Identifier: Apache-2.0
"""A body is found again from its motion, measured as coarsely as real servos measure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meta_rl_core.errors import ContractError, InvalidValueError
from meta_rl_core.families.dclaw_dynamics import DynamicsRanges
from meta_rl_core.families.dynamics_file import read_ranges, write_ranges
from meta_rl_core.registry import load_family
from sim_bridge.dclaw.families import make_dclaw_turn, make_dclaw_turn_dynamics
from sim_bridge.identify.body import Body, BodyModel
from sim_bridge.identify.fit import Fit, fit_body
from sim_bridge.identify.record import Steps
from sim_bridge.identify.report import make_ranges, tell
from sim_bridge.identify.steps import excite, measured_like, predict

PLANTED = Body(7.3, 0.03, 0.037, 0.12)


@pytest.fixture(scope="module")
def recorded() -> Steps:
    """Six seconds of a planted body, in ticks and velocity units of an XM430."""
    return measured_like(excite(PLANTED, 2, 30, np.random.default_rng(1)))


@pytest.fixture(scope="module")
def fit(recorded: Steps) -> Fit:
    """What is found in it."""
    return fit_body(recorded, searches=1)


def test_a_planted_body_is_found_within_the_stated_tolerance(fit: Fit) -> None:
    assert fit.body.servo_gain_n_m_rad == pytest.approx(7.3, rel=0.05)
    assert fit.body.latency_s == pytest.approx(0.037, abs=0.0025)
    assert fit.body.joint_friction_n_m == pytest.approx(0.03, abs=0.01)
    assert fit.body.valve_friction_n_m == pytest.approx(0.12, abs=0.025)
    assert fit.valve_friction_known
    # A tick is 0.0015 rad.
    assert fit.position_rms_rad < 0.003


def test_ranges_hold_what_was_planted_and_little_else(fit: Fit, tmp_path: Path) -> None:
    write_ranges(tmp_path / "deep" / "ranges.yaml", make_ranges(fit, 0.2), tell(fit))
    ranges = read_ranges(tmp_path / "deep" / "ranges.yaml")
    for name, most in (("servo_gain_n_m_rad", 3.5), ("latency_s", 0.02), ("valve_friction_n_m", 0.06)):
        low, high = getattr(ranges, name)
        assert low <= getattr(PLANTED, name) <= high
        assert high - low <= most
    assert ranges.prongs == (3.0, 3.0)
    tasks = make_dclaw_turn_dynamics().narrowed(tmp_path / "deep" / "ranges.yaml").training_tasks()
    assert (
        ranges.servo_gain_n_m_rad[0] <= tasks[:, 1].min() <= tasks[:, 1].max() <= ranges.servo_gain_n_m_rad[1]
    )


def test_the_friction_of_a_valve_that_never_moved_stays_unknown(fit: Fit) -> None:
    untouched = Fit(fit.body, fit.std, fit.position_rms_rad, fit.steps, touched=2)
    assert make_ranges(untouched, 0.2).valve_friction_n_m == (0.0, 0.3)


def test_a_latency_between_two_physics_steps_shares_that_step_between_both_commands() -> None:
    made = BodyModel()
    body = Body(2.0, 0.0, 0.006, 0.0)
    made.build(body)
    told = made.control(body, np.zeros((1, 9)), np.ones((1, 9)))[0, :, 0]
    # 6 ms are two steps of 2.5 ms and 0.4 of the third.
    np.testing.assert_allclose(told, [0.0, 0.0, 0.6, *[1.0] * 37])


def test_the_true_body_predicts_what_it_did(recorded: Steps) -> None:
    exact = excite(PLANTED, 1, 20, np.random.default_rng(2))
    np.testing.assert_allclose(predict(BodyModel(), PLANTED, exact), exact.after, atol=1e-12)


def test_too_little_or_no_motion_is_refused(recorded: Steps) -> None:
    few = Steps(recorded.before[:39], recorded.former[:39], recorded.command[:39], recorded.after[:39])
    with pytest.raises(InvalidValueError, match="at least 40 periods of motion, got 39"):
        fit_body(few)
    still = Steps(recorded.before, recorded.former, recorded.command, recorded.before)
    with pytest.raises(InvalidValueError, match="never moved"):
        fit_body(still)
    with pytest.raises(InvalidValueError, match="after must be finite"):
        Steps(recorded.before, recorded.former, recorded.command, recorded.after * np.nan)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schema_version: 2\n", "schema_version"),
        ("{schema_version: 1, measured: {}, ranges: {}}", "lacks 'servo_gain_n_m_rad'"),
        (
            "{schema_version: 1, measured: {}, ranges: {servo_gain_n_m_rad: [1, 2, 3], valve_friction_n_m: [0, 0], "
            "latency_s: [0, 0], prongs: [3, 3]}}",
            "at most 2 numbers",
        ),
        (
            "{schema_version: 1, measured: {}, ranges: {servo_gain_n_m_rad: [9, 2], valve_friction_n_m: [0, 0], "
            "latency_s: [0, 0], prongs: [3, 3]}}",
            "servo_gain_n_m_rad must be .*got .9, 2.",
        ),
    ],
)
def test_a_file_of_ranges_that_is_not_in_order_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "ranges.yaml"
    path.write_text(text)
    with pytest.raises(InvalidValueError, match=said):
        read_ranges(path)


def test_ranges_survive_their_file_and_families_without_them_say_so(tmp_path: Path) -> None:
    write_ranges(tmp_path / "ranges.yaml", DynamicsRanges(), {})
    assert read_ranges(tmp_path / "ranges.yaml") == DynamicsRanges()
    with pytest.raises(ContractError, match="not drawn from ranges"):
        make_dclaw_turn().narrowed(tmp_path / "ranges.yaml")
    assert load_family("dclaw-turn-dynamics").spec.name == "dclaw-turn-dynamics"
