# SPDX-License-Identifier: Apache-2.0
"""The second example robot is data alone, and every name in its files is the same."""

from pathlib import Path

import yaml

from meta_rl_core.runtime.robot_file import load_robot

ARM = Path(__file__).parents[3] / "examples" / "arm"


def test_the_arm_is_described_and_its_controllers_have_its_joints() -> None:
    robot = load_robot(ARM / "arm.yaml")
    assert robot.joint_names == ("shoulder", "elbow", "wrist")
    assert robot.bus is None
    controllers = yaml.safe_load((ARM / "controllers.yaml").read_text())
    for name in ("forward_position_controller", "joint_trajectory_controller"):
        assert tuple(controllers[name]["ros__parameters"]["joints"]) == robot.joint_names
        assert name in controllers["controller_manager"]["ros__parameters"]


def test_the_example_has_no_code() -> None:
    assert not list(ARM.rglob("*.py"))


def test_the_claws_controllers_have_its_joints_in_the_bundles_order() -> None:
    folder = ARM.parents[1] / "config"
    joints = load_robot(folder / "robots" / "dclaw.yaml").joint_names
    for file_name in ("forward_position", "joint_trajectory"):
        content = yaml.safe_load((folder / "controllers" / f"{file_name}.yaml").read_text())
        assert tuple(content[f"{file_name}_controller"]["ros__parameters"]["joints"]) == joints
