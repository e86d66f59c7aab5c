# SPDX-License-Identifier: Apache-2.0
"""The URDF is the MJCF: read by a parser of its own, its joints, limits, masses and fingertips are MuJoCo's."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from meta_rl_core.families.dclaw_turn import CLAW_JOINTS, VALVE_JOINT
from sim_bridge.dclaw.model import load_model
from sim_bridge.dclaw.urdf import write_urdf

Array = NDArray[np.float64]
URDF = Path(__file__).parents[2] / "config" / "urdf" / "dclaw.urdf"
TIPS = ("ff_tip", "mf_tip", "th_tip")


@pytest.fixture(scope="module")
def urdf() -> ElementTree.Element:
    """The shipped file."""
    return ElementTree.parse(URDF).getroot()


def vector(element: ElementTree.Element | None, key: str) -> Array:
    assert element is not None
    return np.array([float(number) for number in element.attrib[key].split()])


def rotation(axis: Array, angle_rad: float) -> Array:
    """Rodrigues' formula, shape (3, 3)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle_rad) * cross + (1 - np.cos(angle_rad)) * cross @ cross


def placed(element: ElementTree.Element) -> Array:
    """The homogeneous transform of an <origin>: roll about x, then pitch about y, then yaw about z, all fixed."""
    origin = element.find("origin")
    roll, pitch, yaw = vector(origin, "rpy")
    x, y, z = np.eye(3)
    transform = np.eye(4)
    transform[:3, :3] = rotation(z, yaw) @ rotation(y, pitch) @ rotation(x, roll)
    transform[:3, 3] = vector(origin, "xyz")
    return transform


def frames(urdf: ElementTree.Element, angles: dict[str, float]) -> dict[str, Array]:
    """Where every link is in the world, by forward kinematics along the tree."""
    found = {"world": np.eye(4)}
    waiting = list(urdf.findall("joint"))
    while waiting:
        joint = waiting.pop(0)
        parent, child = (joint.find(end).attrib["link"] for end in ("parent", "child"))  # type: ignore[union-attr]
        if parent not in found:
            waiting.append(joint)
            continue
        turn = np.eye(4)
        if joint.attrib["type"] == "revolute":
            turn[:3, :3] = rotation(vector(joint.find("axis"), "xyz"), angles[joint.attrib["name"]])
        found[child] = found[parent] @ placed(joint) @ turn
    return found


def test_the_shipped_file_is_what_the_model_gives() -> None:
    assert URDF.read_text(encoding="utf-8") == write_urdf()


def test_joints_and_limits_are_those_of_the_mjcf(urdf: ElementTree.Element) -> None:
    model = load_model()
    joints = {
        joint.attrib["name"]: joint for joint in urdf.findall("joint") if joint.attrib["type"] == "revolute"
    }
    assert tuple(joints) == (*CLAW_JOINTS, VALVE_JOINT)
    for name, joint in joints.items():
        limit = joint.find("limit")
        assert limit is not None
        bounds = [float(limit.attrib[key]) for key in ("lower", "upper")]
        np.testing.assert_allclose(bounds, model.joint(name).range, atol=1e-12)
        np.testing.assert_array_equal(vector(joint.find("axis"), "xyz"), model.joint(name).axis)
        # An XM430-W210 at 12 V: 3.0 N m at stall, 77 revolutions a minute without load.
        assert float(limit.attrib["effort"]) == 3.0
        assert float(limit.attrib["velocity"]) == pytest.approx(77 * 2 * np.pi / 60, abs=0.01)


def test_links_stand_where_mujoco_has_them_in_random_poses(urdf: ElementTree.Element) -> None:
    model = load_model()
    data = mujoco.MjData(model)
    generator = np.random.default_rng(0)
    for _ in range(25):
        data.qpos[:] = generator.uniform(model.jnt_range[:, 0], model.jnt_range[:, 1])
        mujoco.mj_kinematics(model, data)
        angles = {model.joint(index).name: data.qpos[index] for index in range(model.njnt)}
        links = frames(urdf, angles)
        for tip in TIPS:
            np.testing.assert_allclose(links[tip][:3, 3], data.site(tip).xpos, rtol=0, atol=1e-6)
        for name, transform in links.items():
            if name not in TIPS and name != "world":
                np.testing.assert_allclose(transform[:3, 3], data.body(name).xpos, rtol=0, atol=1e-6)
                np.testing.assert_allclose(transform[:3, :3].ravel(), data.body(name).xmat, rtol=0, atol=1e-6)


def test_masses_and_centres_of_mass_are_those_of_the_mjcf(urdf: ElementTree.Element) -> None:
    model = load_model()
    total = 0.0
    for link in urdf.findall("link"):
        inertial = link.find("inertial")
        if inertial is None:
            continue
        body = model.body(link.attrib["name"])
        mass = float(inertial.find("mass").attrib["value"])  # type: ignore[union-attr]
        assert mass == pytest.approx(body.mass[0])
        np.testing.assert_allclose(placed(inertial)[:3, 3], body.ipos, atol=1e-12)
        total += mass
    assert total == pytest.approx(model.body_mass.sum())


def test_every_part_that_touches_is_there_to_see_and_to_touch(urdf: ElementTree.Element) -> None:
    for link in urdf.findall("link"):
        assert len(link.findall("visual")) == len(link.findall("collision"))
    tip = next(link for link in urdf.findall("link") if link.attrib["name"] == "ff_link3")
    radii = {float(sphere.attrib["radius"]) for sphere in tip.iter("sphere")}
    assert radii == {0.011}
