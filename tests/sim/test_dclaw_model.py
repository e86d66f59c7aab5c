# SPDX-License-Identifier: Apache-2.0
"""Holds the compiled D'Claw model against the published figures of ROBEL's D'Claw (arXiv 1909.11639).

Tolerances are those of the published figures: half a unit of the last digit printed, or as stated.
"""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from meta_rl_core.families.dclaw_turn import CLAW_JOINTS, RESET_POSE_RAD
from sim_bridge.dclaw.model import JOINTS, load_model

FINGERS = ("ff", "mf", "th")
AZIMUTH_RAD = {"ff": np.pi / 3, "mf": -np.pi / 3, "th": np.pi}
METAL, PLASTIC = 1.0, 0.2


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    """The compiled model."""
    return load_model()


@pytest.fixture
def data(model: mujoco.MjModel) -> mujoco.MjData:
    """Fresh data at the zero pose."""
    return mujoco.MjData(model)


def pose(
    model: mujoco.MjModel, data: mujoco.MjData, finger_pose: tuple[float, float, float], valve: float = 0.0
) -> None:
    """Puts all three fingers into one pose and computes everything that follows from positions."""
    mujoco.mj_resetData(model, data)
    data.qpos[:9] = np.tile(finger_pose, 3)
    data.qpos[9] = valve
    data.ctrl[:] = data.qpos[:9]
    mujoco.mj_forward(model, data)


def tip(data: mujoco.MjData, finger: str = "ff") -> NDArray[np.float64]:
    """World position of a fingertip site [m]."""
    return np.array(data.site(f"{finger}_tip").xpos)


def test_options_are_those_of_the_public_model(model: mujoco.MjModel) -> None:
    option = model.opt
    assert (option.timestep, option.iterations, option.tolerance, option.impratio) == (0.0025, 50, 1e-10, 1.0)
    assert option.solver == mujoco.mjtSolver.mjSOL_NEWTON
    assert option.cone == mujoco.mjtCone.mjCONE_ELLIPTIC
    assert option.integrator == mujoco.mjtIntegrator.mjINT_EULER
    assert option.jacobian == mujoco.mjtJacobian.mjJAC_DENSE
    np.testing.assert_array_equal(option.gravity, [0.0, 0.0, -9.81])


def test_ten_joints_and_nine_servos_carry_the_ros_names_in_order(model: mujoco.MjModel) -> None:
    assert (model.nq, model.nv, model.nu) == (10, 10, 9)
    assert tuple(model.joint(index).name for index in range(10)) == JOINTS
    assert tuple(model.actuator(index).name for index in range(9)) == CLAW_JOINTS
    assert tuple(model.joint(index).name for index in model.actuator_trnid[:, 0]) == CLAW_JOINTS


def test_joint_defaults_and_ranges_are_those_of_the_public_model(model: mujoco.MjModel) -> None:
    np.testing.assert_array_equal(model.dof_damping, 0.1)
    np.testing.assert_array_equal(model.dof_armature, 0.001)
    np.testing.assert_array_equal(model.dof_frictionloss, 0.0)
    assert model.jnt_limited.all()
    np.testing.assert_array_equal(model.jnt_range, [*[[-0.45, 1.35], [-2, 2], [-2, 2]] * 3, [-6.28, 6.28]])


def test_servos_are_position_servos_of_gain_two_without_own_damping_or_force_limit(
    model: mujoco.MjModel,
) -> None:
    np.testing.assert_array_equal(model.actuator_gainprm[:, 0], 2.0)
    np.testing.assert_array_equal(model.actuator_biasprm[:, :3], np.tile([0.0, -2.0, 0.0], (9, 1)))
    assert model.actuator_ctrllimited.all()
    assert not model.actuator_forcelimited.any()
    np.testing.assert_array_equal(model.actuator_ctrlrange, [[-0.48, 0.48], [-1.57, 1.57], [-1.57, 1.57]] * 3)


# Name, mass [kg], centre of mass in the link frame [m], principal inertia in descending order [kg m^2].
BODIES = [
    ("claw", 0.110, (0, 0, 0), (3.09e-4, 1.55e-4, 1.55e-4)),
    ("ff_base", 0.093, (0.012, 0, 0.014), (2.7e-5, 2.5e-5, 1.6e-5)),
    ("ff_link1", 0.105, (0, 0, 0.0524), (4.0e-5, 3.9e-5, 2.0e-5)),
    ("ff_link2", 0.105, (0, 0, 0.0524), (4.2e-5, 3.7e-5, 2.0e-5)),
    ("ff_link3", 0.032, (0, 0, 0.0404), (1.6e-5, 1.4e-5, 0.5e-5)),
]


@pytest.mark.parametrize(("name", "mass", "center", "inertia"), BODIES)
def test_masses_centres_and_inertias_match_the_published_table(
    model: mujoco.MjModel, name: str, mass: float, center: tuple[float, ...], inertia: tuple[float, ...]
) -> None:
    body = model.body(name)
    assert body.mass[0] == pytest.approx(mass, abs=5e-4)
    np.testing.assert_allclose(body.ipos, center, atol=5e-5)
    np.testing.assert_allclose(np.sort(body.inertia)[::-1], inertia, atol=6e-7)


def test_the_valve_weighs_and_turns_as_published(model: mujoco.MjModel) -> None:
    valve = model.body("valve")
    assert valve.mass[0] == pytest.approx(0.476, abs=1e-3)
    np.testing.assert_allclose(valve.ipos, [0, 0, 0.0501], atol=1e-4)
    assert valve.inertia.max() == pytest.approx(1.0e-3, abs=5e-5)


def test_the_three_fingers_are_alike_to_the_bit(model: mujoco.MjModel) -> None:
    for part in ("base", "link1", "link2", "link3"):
        first = model.body(f"ff_{part}")
        for finger in ("mf", "th"):
            other = model.body(f"{finger}_{part}")
            assert other.mass[0] == first.mass[0]
            np.testing.assert_array_equal(other.inertia, first.inertia)
            np.testing.assert_array_equal(other.ipos, first.ipos)


def test_friction_is_metal_on_the_links_and_plastic_on_tips_and_valve(model: mujoco.MjModel) -> None:
    plastic = {"valve"} | {f"{finger}_link3" for finger in FINGERS}
    for index in range(model.ngeom):
        geom = model.geom(index)
        if geom.contype[0] == 0:
            continue
        is_plastic = geom.name.endswith(("fingertip", "foot", "hub")) or geom.name.startswith("prong")
        assert not is_plastic or model.body(geom.bodyid[0]).name in plastic
        np.testing.assert_array_equal(geom.friction, [PLASTIC if is_plastic else METAL, 0.005, 0.0001])
        assert (geom.condim[0], geom.margin[0]) == (4, 0.0005)


def test_heights_at_the_zero_pose(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    pose(model, data, (0, 0, 0))
    np.testing.assert_allclose(data.xanchor[:3, 2], [0.3177, 0.2502, 0.182], atol=3e-4)
    assert tip(data)[2] == pytest.approx(0.106, abs=5e-4)
    fingertip = model.geom("ff_fingertip")
    lowest = data.geom("ff_fingertip").xpos[2] - fingertip.size[:2].sum()
    assert lowest == pytest.approx(0.098, abs=5e-4)


def test_fingers_stand_on_exact_sixty_degree_steps(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    pose(model, data, (0, 0, 0))
    for finger, azimuth in AZIMUTH_RAD.items():
        np.testing.assert_allclose(
            tip(data, finger)[:2], [0.06 * np.cos(azimuth), 0.06 * np.sin(azimuth)], atol=1e-12
        )


def test_axes_point_outward_and_along_the_tangent(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    pose(model, data, (0, 0, 0))
    for number, azimuth in enumerate(AZIMUTH_RAD.values()):
        outward = [np.cos(azimuth), np.sin(azimuth), 0]
        tangent = [-np.sin(azimuth), np.cos(azimuth), 0]
        np.testing.assert_allclose(data.xaxis[3 * number], outward, atol=1e-12)
        np.testing.assert_allclose(data.xaxis[3 * number + 1], tangent, atol=1e-12)
        np.testing.assert_allclose(data.xaxis[3 * number + 2], tangent, atol=1e-12)


@pytest.mark.parametrize("finger", FINGERS)
def test_signs_of_the_joints(model: mujoco.MjModel, data: mujoco.MjData, finger: str) -> None:
    pose(model, data, (0, 0, 0))
    rest = tip(data, finger)
    pose(model, data, (0.2, 0, 0))
    assert np.cross(rest, tip(data, finger))[2] > 0, (
        "joint 0 positive moves the tip counter-clockwise seen from above"
    )
    pose(model, data, (0, -0.2, 0))
    assert np.hypot(*tip(data, finger)[:2]) > np.hypot(*rest[:2]), "joint 1 negative opens the finger"
    pose(model, data, (0, 0, 0.2))
    assert np.hypot(*tip(data, finger)[:2]) < np.hypot(*rest[:2]), (
        "joint 2 positive folds the distal link inward"
    )


@pytest.mark.parametrize(
    ("joint1", "joint2", "radius", "height"),
    [
        (-np.pi / 3, np.pi / 3, 0.119, 0.140),
        (-0.8, 1.0, 0.093, 0.128),
        (-0.5, 0.9, 0.063, 0.121),
        (-0.5, 0.5, 0.092, 0.114),
        (0.0, 0.0, 0.060, 0.106),
        (0.0, 0.5, 0.023, 0.116),
        (-0.7, 1.57, 0.046, 0.149),
    ],
)
def test_tip_positions_match_the_published_table_to_a_millimetre(
    model: mujoco.MjModel, data: mujoco.MjData, joint1: float, joint2: float, radius: float, height: float
) -> None:
    pose(model, data, (0, joint1, joint2))
    for finger in FINGERS:
        position = tip(data, finger)
        assert np.hypot(*position[:2]) == pytest.approx(radius, abs=1e-3)
        assert position[2] == pytest.approx(height, abs=1e-3)


def test_the_valve_has_the_published_outline(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    pose(model, data, (0, 0, 0))
    for number in range(3):
        radius, half_length = model.geom(f"prong{number}").size[:2]
        center = np.array(data.geom(f"prong{number}").xpos)
        assert (radius, half_length) == (0.021, 0.035)
        assert center[2] == pytest.approx(0.102, abs=5e-4)
        assert np.hypot(*center[:2]) + half_length + radius == pytest.approx(0.094, abs=1e-9)
        expected = 2 * np.pi * number / 3
        assert np.cos(np.arctan2(center[1], center[0]) - expected) == pytest.approx(1.0)


def test_the_mark_points_along_the_valve_angle(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    pose(model, data, (0, -1, 1), valve=0.7)
    mark = data.site("valve_mark").xpos
    assert np.arctan2(mark[1], mark[0]) == pytest.approx(0.7)


@pytest.mark.parametrize("finger_pose", [(0.0, 0.0, 0.0), (0.0, -np.pi / 3, np.pi / 3)])
def test_nothing_touches_at_zero_and_reset_pose(
    model: mujoco.MjModel, data: mujoco.MjData, finger_pose: tuple[float, float, float]
) -> None:
    pose(model, data, finger_pose)
    assert data.ncon == 0


def test_the_reset_pose_is_clear_of_the_valve_at_every_angle(
    model: mujoco.MjModel, data: mujoco.MjData
) -> None:
    for valve in np.linspace(-np.pi, np.pi, 61):
        pose(model, data, (0.0, -np.pi / 3, np.pi / 3), valve)
        assert data.ncon == 0


def test_joint_space_inertia_at_the_reset_pose(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    pose(model, data, (0.0, -np.pi / 3, np.pi / 3))
    inverse = np.zeros((10, 10))
    mujoco.mj_solveM(model, data, inverse, np.eye(10))
    diagonal = np.diag(np.linalg.inv(inverse))
    np.testing.assert_allclose(diagonal, [*[0.0029, 0.0016, 0.0011] * 3, 0.0020], atol=6e-5)


def settle_at_reset(model: mujoco.MjModel, data: mujoco.MjData) -> NDArray[np.float64]:
    """Holds the reset pose for 5 s; returns the joint positions it sags to."""
    pose(model, data, (0.0, -np.pi / 3, np.pi / 3))
    mujoco.mj_step(model, data, 2000)
    return np.array(data.qpos)


def test_gravity_makes_joint_1_sag_by_the_published_angle(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    sag = settle_at_reset(model, data)[:9] - RESET_POSE_RAD
    np.testing.assert_allclose(sag[1::3], 0.032, atol=1e-3)
    assert np.abs(sag[0::3]).max() < 0.001
    assert np.abs(sag[2::3]).max() < 0.001


@pytest.mark.parametrize("direction", [1.0, -1.0])
@pytest.mark.parametrize(
    ("joint", "fractions"), [(0, (0.16, 0.46, 0.89)), (1, (0.24, 0.57, 0.92)), (2, (0.29, 0.61, 0.91))]
)
def test_step_response_of_one_velocity_clip(
    model: mujoco.MjModel, data: mujoco.MjData, joint: int, fractions: tuple[float, ...], direction: float
) -> None:
    rest = settle_at_reset(model, data)
    data.ctrl[joint] += direction * 0.21
    reached, peak_speed = [], 0.0
    for step in range(1, 41):
        mujoco.mj_step(model, data)
        peak_speed = max(peak_speed, abs(data.qvel[joint]))
        if step in (10, 20, 40):
            reached.append(direction * (data.qpos[joint] - rest[joint]) / 0.21)
    np.testing.assert_allclose(reached, fractions, atol=0.01)
    assert 2.4 < peak_speed < 3.2


def test_a_free_valve_stops_after_a_tenth_of_a_radian(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    pose(model, data, (0.0, -np.pi / 3, np.pi / 3))
    data.qvel[9] = 5.0
    mujoco.mj_step(model, data, 400)
    assert data.qpos[9] == pytest.approx(0.10, abs=5e-3)
    assert abs(data.qvel[9]) < 1e-6
