# SPDX-License-Identifier: Apache-2.0
"""Bring-up files: what is started for which arguments, and what a wrong one is told."""

from pathlib import Path

import pytest

from meta_rl_core.bundle import load_bundle
from meta_rl_core.runtime.robot_file import load_robot
from pitaya_nodes.bringup import BringUp, NodeSpec, find_bringup, find_bundle
from pitaya_nodes.errors import BringUpError
from tests.ros.graph import BRING_UP


@pytest.fixture(scope="module")
def dclaw() -> BringUp:
    return find_bringup(str(BRING_UP))


def by_name(specs: list[NodeSpec]) -> dict[str, NodeSpec]:
    return {spec.name: spec for spec in specs}


def test_the_simulated_graph_is_managed_in_order_and_runs_on_simulated_time(dclaw: BringUp) -> None:
    given = {"bundle": "/b", "journal": "/j", "task_seed": "7", "mode": "real_time", "real_time_factor": "2"}
    specs = dclaw.resolve(given)
    assert [spec.name for spec in specs] == [
        "sim_node",
        "reward_node",
        "command_gate",
        "policy_node",
        "lifecycle_manager",
    ]
    nodes = by_name(specs)
    assert nodes["lifecycle_manager"].parameters == {
        "nodes": ["sim_node", "reward_node", "command_gate", "policy_node"]
    }
    assert nodes["sim_node"].parameters == {
        "plant": "dclaw",
        "family": "",
        "mode": "real_time",
        "real_time_factor": 2.0,
        "task_seed": 7,
    }
    assert nodes["policy_node"].parameters == {
        "bundle": "/b",
        "journal": "/j",
        "lock_step": False,
        "acknowledged": True,
        "use_sim_time": True,
        "realtime_priority": 0,
    }
    assert [name for name, spec in nodes.items() if spec.respawn] == ["policy_node"]


@pytest.mark.parametrize(("external_mode", "waits"), [("real_time", False), ("lock_step", True)])
def test_only_an_external_plant_in_lock_step_is_waited_for(
    dclaw: BringUp, external_mode: str, waits: bool
) -> None:
    specs = {spec.name: spec for spec in dclaw.resolve({"plant": "external", "external_mode": external_mode})}
    for name in ("policy_node", "command_gate"):
        assert (specs[name].parameters["lock_step"], specs[name].parameters["use_sim_time"]) == (waits, False)


def test_an_external_plant_gets_everything_but_the_simulator(dclaw: BringUp) -> None:
    specs = dclaw.resolve({"plant": "external", "namespace": "left"})
    assert [spec.name for spec in specs] == [
        "reward_node",
        "command_gate",
        "policy_node",
        "lifecycle_manager",
    ]
    assert {spec.namespace for spec in specs} == {"left"}
    assert by_name(specs)["command_gate"].parameters["use_sim_time"] is False
    assert by_name(specs)["lifecycle_manager"].parameters["nodes"] == [
        "reward_node",
        "command_gate",
        "policy_node",
    ]


@pytest.mark.parametrize(("plant", "robot"), [("dclaw", "dclaw"), ("external", ""), ("my.plant:Plant", None)])
def test_a_simulated_dclaw_is_kept_within_the_limits_of_the_real_one(
    dclaw: BringUp, plant: str, robot: str | None
) -> None:
    specs = dclaw.resolve({"plant": plant})
    assert [spec.name for spec in specs].count("command_gate") == 1
    assert by_name(specs)["command_gate"].parameters.get("robot") == robot


def test_the_gate_of_the_example_arm_keeps_the_limits_of_its_file(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    arm = find_bringup("examples/arm/bringup.yaml")
    path = by_name(arm.resolve({}))["command_gate"].parameters["robot"]
    assert path == str(repository / "examples" / "arm" / "arm.yaml")
    assert load_robot(path).joint_names == ("shoulder", "elbow", "wrist")
    mine = by_name(arm.resolve({"robot": "/robots/mine.yaml"}))
    assert mine["command_gate"].parameters["robot"] == "/robots/mine.yaml"


def test_an_empty_path_stays_empty(dclaw: BringUp) -> None:
    assert by_name(dclaw.resolve({"journal": ""}))["policy_node"].parameters["journal"] == ""


def test_the_recorder_starts_first_so_that_it_ends_last(dclaw: BringUp, tmp_path: Path) -> None:
    specs = dclaw.resolve({"record": "true", "out": str(tmp_path)})
    assert specs[0].name == "recorder"
    assert specs[0].parameters["directory"] == f"{tmp_path}/recording"
    assert "joint_states" in specs[0].parameters["topics"]


@pytest.mark.parametrize("name", ["dclaw_sim", "dclaw_robot", "shadow"])
def test_every_recording_holds_what_policy_and_gate_refuse(name: str, repository: Path) -> None:
    bring_up = find_bringup(str(repository / "config" / "bringup" / f"{name}.yaml"))
    topics = by_name(bring_up.resolve({"record": "true"}))["recorder"].parameters["topics"]
    assert {"policy_node/refusals", "policy_node/status", "command_gate/status"} <= set(topics)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"modus": "fast"}, "unknown argument modus; dclaw_sim takes: bundle, plant"),
        ({"mode": "warp"}, "mode must be one of lock_step, real_time, got 'warp'"),
        ({"task_seed": "seven"}, "task_seed must be of type integer, got 'seven'"),
        ({"real_time_factor": "nan"}, "real_time_factor must be of type number, got 'nan'"),
        ({"record": "perhaps"}, "record must be of type boolean, got 'perhaps'"),
    ],
)
def test_a_wrong_argument_is_told_what_is_allowed(dclaw: BringUp, given: dict[str, str], said: str) -> None:
    with pytest.raises(BringUpError, match=said):
        dclaw.resolve(given)


def test_an_unknown_bring_up_is_told_which_there_are() -> None:
    with pytest.raises(BringUpError, match=r"unknown bring-up 'moon'; known: .*dclaw_sim"):
        find_bringup("moon")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("nodes: {}", "must be a mapping with a list of nodes"),
        ("nodes: [", "cannot read bring-up file"),
        ("nodes: [{name: a}]", "a node has name, executable"),
        ("nodes: [{name: a, executable: b, colour: red}]", "a node has name, executable"),
        ("arguments: {x: {description: d}}\nnodes: []", "argument x must have a default"),
        ("arguments: {x: {default: 1, type: complex}}\nnodes: []", "type of argument x must be one of"),
        ("nodes: [{name: a, executable: b, if: $(nothing)}]", "names no argument"),
        (
            "arguments: {x: {default: y}}\nnodes: [{name: a, executable: b, if: $(x)}]",
            "must be true or false",
        ),
    ],
)
def test_a_wrong_file_is_told_what_is_wrong(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(content)
    with pytest.raises(BringUpError, match=said):
        find_bringup(str(path)).resolve({})


def test_a_text_around_an_argument_stays_a_text(tmp_path: Path) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(
        "arguments: {n: {type: integer, default: 3}}\n"
        "nodes: [{name: a, executable: b, parameters: {whole: $(n), text: n$(n), list: [$(n), $(n != 3)]}}]"
    )
    (spec,) = find_bringup(str(path)).resolve({})
    assert spec.parameters == {"whole": 3, "text": "n3", "list": [3, False]}


def test_a_shipped_bundle_is_found_wherever_one_stands(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = find_bundle("policies/dclaw-turn")
    assert found == repository / "policies" / "dclaw-turn"
    assert load_bundle(found).manifest.name == "dclaw-turn"
    assert find_bundle("policies/none") == tmp_path / "policies" / "none"
