# SPDX-License-Identifier: Apache-2.0
"""Robot descriptions: the shipped D'Claw's numbers, what a wrong file is told, and the comparison with a policy."""

from dataclasses import replace
from math import pi, radians
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from meta_rl_core.errors import InvalidValueError, JointMismatchError
from meta_rl_core.families.dclaw_turn import CLAW_JOINTS, RESET_POSE_RAD, VALVE_JOINT, make_robot
from meta_rl_core.runtime.robot_comparison import compare, refuse_contradictions
from meta_rl_core.runtime.robot_description import RobotDescription
from meta_rl_core.runtime.robot_file import load_robot, read_robot


@pytest.fixture
def path(repository: Path) -> Path:
    return repository / "config" / "robots" / "dclaw.yaml"


@pytest.fixture
def dclaw(path: Path) -> RobotDescription:
    return load_robot(path)


@pytest.fixture
def content(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_the_dclaw_has_robels_joints_ids_and_calibration(dclaw: RobotDescription) -> None:
    assert dclaw.joint_names == CLAW_JOINTS
    assert dclaw.measured_names == (*CLAW_JOINTS, VALVE_JOINT)
    motors = dclaw.motors()
    assert [motor.id for motor in motors.values()] == [10, 11, 12, 20, 21, 22, 30, 31, 32, 50]
    assert [motor.zero_tick for motor in motors.values()] == [1024, 2048, 2048] * 3 + [2048]
    assert {motor.model for motor in motors.values()} == {"XM430-W210"}


def test_commands_stay_five_degrees_inside_limits_and_the_start_is_robels(dclaw: RobotDescription) -> None:
    np.testing.assert_allclose(dclaw.command_low_rad, [-0.45 + radians(5), -pi / 3, -pi / 2] * 3, atol=1e-8)
    np.testing.assert_allclose(dclaw.command_high_rad, [0.48, pi / 3, pi / 2] * 3, atol=1e-8)
    np.testing.assert_allclose(dclaw.start_rad, RESET_POSE_RAD, atol=1e-9)
    np.testing.assert_allclose(dclaw.speed_rad_s, 2 * pi / 3, atol=1e-8)
    assert dclaw.acceleration_rad_s2 is None


def test_an_acceleration_may_be_stated_for_some_joints(content: dict[str, Any]) -> None:
    content["joints"][1]["limits"]["acceleration_rad_s2"] = 30.0
    assert read_robot(content).acceleration_rad_s2 == pytest.approx([np.inf, 30.0, *[np.inf] * 7])


def test_a_joint_overrides_what_all_motors_share(content: dict[str, Any]) -> None:
    content["object_joints"][0]["dynamixel"].update(model="XH430-V210", sign=-1)
    valve = read_robot(content).motors()[VALVE_JOINT]
    assert (valve.model, valve.sign, valve.zero_tick) == ("XH430-V210", -1, 2048)


def test_a_robot_needs_no_bus_no_object_and_no_reset(content: dict[str, Any]) -> None:
    for key in ("dynamixel", "object_joints", "reset", "derating"):
        del content[key]
    for joint in content["joints"]:
        del joint["dynamixel"]
    robot = read_robot(content)
    assert robot.measured_names == CLAW_JOINTS
    with pytest.raises(InvalidValueError, match="has no Dynamixel bus"):
        robot.motors()


def set_at(content: Any, where: tuple[Any, ...], value: Any) -> None:
    for key in where[:-1]:
        content = content[key]
    content[where[-1]] = value


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        (("schema_version",), 2, "schema_version must be a whole number from 1 to 1, got 2"),
        (("colour",), "red", "robot has unknown keys 'colour'"),
        (("joints", 0, "limits", "low_rad"), float("nan"), "low_rad must be a finite number"),
        (("joints", 0, "limits", "low_rad"), 0.45, "ff_joint0 has no range left"),
        (("joints", 0, "limits", "speed_rad_s"), 0, "speed_rad_s must be a finite number from 0.001"),
        (("joints", 1, "start_rad"), -1.1, r"start_rad of ff_joint1 must lie from -1.0472 to 1.0472 rad"),
        (("joints", 1, "name"), "ff_joint0", "every joint name must appear once; ff_joint0"),
        (("joints", 1, "name"), "ff joint", "must be letters, digits and underscores"),
        (("joints", 1, "dynamixel", "id"), 10, "id 10 is given to ff_joint0, ff_joint1"),
        (("joints", 1, "dynamixel", "id"), 254, "id must be a whole number from 0 to 252, got 254"),
        (("joints", 1, "dynamixel", "sign"), 0, "sign of ff_joint1 must be 1 or -1"),
        (("joints", 1, "dynamixel", "model"), "AX-12", "model must be one of XM430-W210, XH430-V210"),
        (("dynamixel", "baud_rate"), 500_000, "baud_rate must be one of 9600, 57600"),
        (("dynamixel", "least_firmware"), 30, "least_firmware must be a whole number from 38"),
        (("watchdogs", "servo_s"), 0.05, "servo_s must be 1 to 127 times 0.02 s, got 0.05 s"),
        (("watchdogs", "servo_s"), 0.12, "servo_s must be shorter than watchdogs.bus_silence_s"),
        (("watchdogs", "command_silence_s"), 0.1, "bus_silence_s must be shorter than"),
        (("derating", "temperature_c", "start"), 78.0, "temperature_c: start must lie below hold"),
        (("derating", "temperature_c", "hold"), 85.0, "hold must lie below temperature_limit_c of ff_joint0"),
        (("reset", "limp_joints"), ["thumb"], "reset.limp_joints names thumb"),
        (
            ("reset", "free_stages", 0, "pose_rad"),
            {"ff_joint0": 0.6},
            "ff_joint0 must lie from -0.3627 to 0.48",
        ),
    ],
)
def test_a_wrong_number_is_named_with_what_is_allowed(
    content: dict[str, Any], where: tuple[Any, ...], value: Any, said: str
) -> None:
    set_at(content, where, value)
    with pytest.raises(InvalidValueError, match=said):
        read_robot(content)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\nname: b", "the key 'name' appears twice"),
        ("a: &x [1]\nb: *x", "references .* are not allowed"),
        ("- 1", "must be a YAML mapping"),
        ("a: [", "not valid YAML"),
        ("a: !!python/object:os.system x", "not valid YAML"),
        ("1: 2", "keys must be names"),
        ("", "must be a YAML mapping, got a NoneType"),
    ],
)
def test_a_wrong_file_is_refused_by_its_name(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(text)
    with pytest.raises(InvalidValueError, match=rf"robot\.yaml: .*{said}"):
        load_robot(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=r"cannot read .*none\.yaml: No such file"):
        load_robot(tmp_path / "none.yaml")


def test_the_shipped_policys_interface_fits_and_nothing_of_it_is_cut(dclaw: RobotDescription) -> None:
    comparison = compare(dclaw, make_robot())
    assert comparison.contradictions == ()
    assert comparison.notes == ()


def test_a_command_range_beyond_the_margin_is_cut_and_noted(dclaw: RobotDescription) -> None:
    joint = dclaw.joints[0]
    tight = replace(
        dclaw, joints=(replace(joint, limits=replace(joint.limits, low_rad=-0.40)), *dclaw.joints[1:])
    )
    assert "cut to -0.3127 to 0.4800 rad" in compare(tight, make_robot()).notes[0]


def test_every_contradiction_with_the_policy_is_named(content: dict[str, Any]) -> None:
    content["joints"][3]["name"] = "index_joint0"
    content["reset"]["limp_joints"] = []
    content["reset"]["free_stages"] = []
    content["object_joints"] = []
    content["rates"]["state_hz"] = 3.0
    content["joints"][0].update(limits={"low_rad": 0.5, "high_rad": 0.8, "speed_rad_s": 1.0}, start_rad=0.6)
    with pytest.raises(JointMismatchError) as refused:
        refuse_contradictions(read_robot(content), make_robot())
    said = str(refused.value)
    assert "the policy commands mf_joint0, which dclaw does not offer" in said
    assert "the policy does not command index_joint0" in said
    assert "the policy observes valve_joint, which dclaw does not measure" in said
    assert "acts every 0.1 s, which is no multiple of the robot's state period of 0.333333 s" in said
    assert "the policy commands ff_joint0 from -0.3627 to 0.4800 rad, robot dclaw allows 0.5873 to" in said


def test_a_faster_policy_is_a_note_not_a_contradiction(dclaw: RobotDescription) -> None:
    slow = replace(dclaw.joints[0], limits=replace(dclaw.joints[0].limits, speed_rad_s=1.0))
    robot = replace(dclaw, joints=(slow, *dclaw.joints[1:]))
    notes = refuse_contradictions(robot, make_robot())
    assert "the policy moves ff_joint0 at up to 2.094 rad/s and is slowed to 1.000 rad/s" in notes
