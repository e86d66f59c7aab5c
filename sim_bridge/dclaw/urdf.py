# SPDX-License-Identifier: Apache-2.0
"""Writes the D'Claw's URDF from its MJCF: `python -m sim_bridge.dclaw.urdf config/urdf/dclaw.urdf`.

One source for both: what RViz and robot_state_publisher show is what policies are trained on.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim_bridge.dclaw.dynamics import STALL_TORQUE_N_M
from sim_bridge.dclaw.model import load_model

Array = NDArray[np.float64]

NO_LOAD_SPEED_RAD_S = 8.06
"""77 revolutions per minute, an XM430-W210 at 12 V."""
_ROOT = "world"
_HEADER = (
    " SPDX-License-Identifier: Apache-2.0 ",
    " Written by python -m sim_bridge.dclaw.urdf from sim_bridge/models/dclaw.xml; change that and run it again. ",
)
_COLOURS = {
    "metal": "0.25 0.27 0.3 1",
    "plastic": "0.95 0.55 0.2 1",
    "valve": "0.2 0.5 0.85 1",
}


def write_urdf() -> str:
    """The URDF as text: the MJCF's bodies as links, its hinges as revolute joints, fingertip sites as links."""
    model = load_model()
    robot = ElementTree.Element("robot", name="dclaw")
    for line in _HEADER:
        robot.append(ElementTree.Comment(line))
    for name, rgba in _COLOURS.items():
        ElementTree.SubElement(ElementTree.SubElement(robot, "material", name=name), "color", rgba=rgba)
    ElementTree.SubElement(robot, "link", name=_ROOT)
    for body in range(1, model.nbody):
        if model.body_mocapid[body] < 0:
            _add_body(robot, model, body)
    for site in range(model.nsite):
        name = model.site(site).name
        if name.endswith("_tip"):
            ElementTree.SubElement(robot, "link", name=name)
            place = (model.site_pos[site], model.site_quat[site])
            _add_joint(
                robot, f"{name}_fixed", "fixed", model.body(model.site_bodyid[site]).name, name, *place
            )
    ElementTree.indent(robot)
    return '<?xml version="1.0"?>\n' + ElementTree.tostring(robot, encoding="unicode") + "\n"


def _add_body(robot: ElementTree.Element, model: mujoco.MjModel, body: int) -> None:
    name = model.body(body).name
    link = ElementTree.SubElement(robot, "link", name=name)
    if model.body_mass[body] > 0.0:
        _add_inertia(link, model, body)
    for geom in np.flatnonzero(model.geom_bodyid == body):
        _add_geom(link, model, int(geom))
    parent = model.body(model.body_parentid[body]).name
    joints = model.body_jntnum[body]
    place = (model.body_pos[body], model.body_quat[body])
    if not joints:
        _add_joint(robot, f"{name}_fixed", "fixed", parent, name, *place)
        return
    index = int(model.body_jntadr[body])
    joint = _add_joint(robot, model.joint(index).name, "revolute", parent, name, *place)
    ElementTree.SubElement(joint, "axis", xyz=_numbers(model.jnt_axis[index]))
    low, high = model.jnt_range[index]
    limits = {"lower": low, "upper": high, "effort": STALL_TORQUE_N_M, "velocity": NO_LOAD_SPEED_RAD_S}
    ElementTree.SubElement(joint, "limit", {key: _number(value) for key, value in limits.items()})
    damping = model.dof_damping[model.jnt_dofadr[index]]
    ElementTree.SubElement(joint, "dynamics", damping=_number(damping), friction="0")


def _add_joint(
    robot: ElementTree.Element,
    name: str,
    kind: str,
    parent: str,
    child: str,
    position: Array,
    quaternion: Array,
) -> ElementTree.Element:
    joint = ElementTree.SubElement(robot, "joint", name=name, type=kind)
    _add_origin(joint, position, quaternion)
    ElementTree.SubElement(joint, "parent", link=parent)
    ElementTree.SubElement(joint, "child", link=child)
    return joint


def _add_inertia(link: ElementTree.Element, model: mujoco.MjModel, body: int) -> None:
    inertial = ElementTree.SubElement(link, "inertial")
    _add_origin(inertial, model.body_ipos[body], model.body_iquat[body])
    ElementTree.SubElement(inertial, "mass", value=_number(model.body_mass[body]))
    moments = dict(zip(("ixx", "iyy", "izz"), model.body_inertia[body], strict=True))
    moments.update(ixy=0.0, ixz=0.0, iyz=0.0)
    ElementTree.SubElement(inertial, "inertia", {key: _number(value) for key, value in moments.items()})


def _add_geom(link: ElementTree.Element, model: mujoco.MjModel, geom: int) -> None:
    position, quaternion = model.geom_pos[geom], model.geom_quat[geom]
    material = model.mat(model.geom_matid[geom]).name
    for offset, shape, sizes in _shapes(int(model.geom_type[geom]), model.geom_size[geom]):
        along = np.zeros(3)
        mujoco.mju_rotVecQuat(along, np.array([0.0, 0.0, offset]), quaternion)
        for use in ("visual", "collision"):
            part = ElementTree.SubElement(link, use)
            _add_origin(part, position + along, quaternion)
            geometry = ElementTree.SubElement(part, "geometry")
            ElementTree.SubElement(geometry, shape, sizes)
            if use == "visual":
                ElementTree.SubElement(part, "material", name=material)


def _shapes(kind: int, size: Array) -> list[tuple[float, str, dict[str, str]]]:
    """Offset along z, URDF shape and its sizes; URDF knows no capsule, so that one is a cylinder and two spheres."""
    radius, half = size[0], size[1]
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        return [(0.0, "box", {"size": _numbers(2.0 * size)})]
    rod = (0.0, "cylinder", {"radius": _number(radius), "length": _number(2.0 * half)})
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        return [rod]
    ends = [(end, "sphere", {"radius": _number(radius)}) for end in (-half, half)]
    return [rod, *ends]


def _add_origin(element: ElementTree.Element, position: Array, quaternion: Array) -> None:
    ElementTree.SubElement(
        element, "origin", xyz=_numbers(position), rpy=_numbers(roll_pitch_yaw(quaternion))
    )


def roll_pitch_yaw(quaternion: Array) -> Array:
    """Angles about fixed x, then y, then z [rad], shape (3,), of a unit quaternion (w, x, y, z)."""
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, quaternion)
    rows = matrix.reshape(3, 3)
    level = np.hypot(rows[0, 0], rows[1, 0])
    pitch = np.arctan2(-rows[2, 0], level)
    if level < 1e-9:
        return np.array([np.arctan2(-rows[1, 2], rows[1, 1]), pitch, 0.0])
    return np.array([np.arctan2(rows[2, 1], rows[2, 2]), pitch, np.arctan2(rows[1, 0], rows[0, 0])])


def _number(value: float) -> str:
    return f"{float(value) + 0.0:.12g}"


def _numbers(values: Array) -> str:
    return " ".join(_number(0.0 if abs(value) < 1e-15 else value) for value in values)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(write_urdf(), encoding="utf-8")
