# SPDX-License-Identifier: Apache-2.0
"""The robot interface is read strictly and knows its own sizes and joints."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.runtime.action import JointPositionAction
from meta_rl_core.runtime.robot_interface import RobotInterface
from meta_rl_core.runtime.terms import Term


def make_interface() -> RobotInterface:
    limits = np.array([0.5, 0.5])
    return RobotInterface(
        observation_terms=(
            Term("velocity", ("b",), 0.2),
            Term("cos", ("valve",)),
            Term("last_action"),
        ),
        action=JointPositionAction(("a", "b"), np.zeros(2), limits, -limits, limits, limits),
        period_s=0.1,
        horizon=40,
    )


def test_sizes_and_joints_follow_from_the_terms_and_the_action() -> None:
    interface = make_interface()
    assert (interface.observation_dim, interface.action_dim) == (4, 2)
    assert interface.joint_names == ("b", "valve", "a")
    assert interface.needs_velocity


def test_a_lessened_action_goes_its_share_of_the_way() -> None:
    interface = make_interface()
    position, action = np.array([-0.3, 9.0, 0.1]), np.array([1.0, 0.4])
    # Joint a at 0.1 is sent to 0.5, joint b at -0.3 to 0.2; a quarter of the way is 0.2 and -0.175.
    lessened = interface.lessen(action, position, 0.25)
    np.testing.assert_allclose(interface.command(lessened, position), [0.2, -0.175], atol=1e-12)
    np.testing.assert_allclose(lessened, [0.4, -0.35], atol=1e-12)
    assert interface.lessen(action, position, 1.0) is action


def test_observing_and_commanding_use_the_same_joint_order() -> None:
    interface = make_interface()
    position = np.array([0.2, 0.0, -0.1])  # b, valve, a
    observation = interface.observe(position, np.array([5.0, 0.0, 0.0]), np.array([0.3, -0.3]))
    assert observation == pytest.approx([1.0, 1.0, 0.3, -0.3])
    # a: -0.1 + 0.5 allowed, asked 0.5; b: asked -0.5, allowed down to 0.2 - 0.5.
    assert interface.command(np.array([1.0, -1.0]), position) == pytest.approx([0.4, -0.3])


def test_an_interface_survives_the_way_through_json() -> None:
    interface = make_interface()
    assert RobotInterface.from_dict(json.loads(json.dumps(interface.to_dict()))) == interface


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("extra",), 1, "unknown keys 'extra'"),
        (("period_s",), 0.0, "period_s"),
        (("period_s",), "0.1", "must be a number"),
        (("period_s",), True, "must be a number"),
        (("horizon",), 40.0, "whole number"),
        (("horizon",), 0, "from 1"),
        (("observation_terms",), [], "observe something"),
        (("observation_terms", 0, "kind"), "force", "one of position"),
        (("observation_terms", 0, "joints"), ["b", "b"], "distinct"),
        (("observation_terms", 0, "joints"), ["\x1b[31m"], "printable"),
        (("action", "mode"), "velocity", "one of absolute"),
        (("action", "low"), [0.0], "one number per joint"),
        (("action", "center"), [1e400, 0.0], "finite"),
        (("action",), None, "must be an object"),
    ],
)
def test_every_departure_from_the_schema_is_named(path: tuple[Any, ...], value: object, message: str) -> None:
    wrong = copy.deepcopy(make_interface().to_dict())
    target: Any = wrong
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(InvalidValueError, match=message):
        RobotInterface.from_dict(wrong)


@pytest.mark.parametrize("key", ["observation_terms", "action", "period_s", "horizon"])
def test_every_missing_key_is_named(key: str) -> None:
    wrong = make_interface().to_dict()
    del wrong[key]
    with pytest.raises(InvalidValueError, match=f"robot lacks '{key}'"):
        RobotInterface.from_dict(wrong)
