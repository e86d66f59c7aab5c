# SPDX-License-Identifier: Apache-2.0
"""What must not be brought up: broken or unfitting bundles, unknown names, parameters out of range."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from pitaya_msgs.msg import PolicyStatus
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters

from pitaya_nodes.bringup import NodeSpec
from tests.helpers.bundles import make_random_bundle
from tests.ros.graph import Graph

CONFIGURE = Transition.TRANSITION_CONFIGURE


def start(graph: Graph, name: str, **parameters: object) -> None:
    graph.processes.start(NodeSpec(name, "pitaya_nodes", name, parameters=parameters))


def truncate_weights(bundle: Path) -> None:
    weights = bundle / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def flip_a_bit(bundle: Path) -> None:
    weights = bundle / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))


def rename_a_joint(bundle: Path) -> None:
    manifest = bundle / "manifest.json"
    fields = json.loads(manifest.read_text())
    fields["robot"]["action"]["joints"][0] = "nose"
    manifest.write_text(json.dumps(fields))


def remove_the_manifest(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()


@pytest.mark.parametrize("harm", [truncate_weights, flip_a_bit, rename_a_joint, remove_the_manifest])
def test_a_broken_bundle_is_refused_with_the_reason_on_status_and_the_node_can_try_again(
    graph: Graph, bundle: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(bundle, broken)
    harm(broken)
    start(graph, "policy_node", bundle=str(broken))
    assert not graph.probe.change("policy_node", CONFIGURE)
    heard = graph.probe.heard["policy_node/status"]
    graph.probe.until(lambda: heard and "refused" in heard[-1].reason)
    assert heard[-1].mode == PolicyStatus.INACTIVE
    assert f"configure refused: bundle {broken} refused:" in heard[-1].reason
    assert heard[-1].bundle_hash == ""

    shutil.rmtree(broken)
    shutil.copytree(bundle, broken)
    assert graph.probe.change("policy_node", CONFIGURE)
    graph.probe.until(lambda: heard[-1].bundle_hash != "")


def test_the_lifecycle_manager_says_which_node_refuses_and_why(graph: Graph, tmp_path: Path) -> None:
    manager = graph.start(bundle=str(tmp_path / "nowhere"))
    graph.probe.until(lambda: manager.process.poll() is not None)
    assert manager.process.returncode == 1
    assert "reward_node refused to configure: configure refused" in manager.log_tail()
    assert "there is no such directory" in manager.log_tail()


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("policy_node", {}, "parameter bundle is empty"),
        ("command_gate", {}, "parameter bundle is empty"),
        ("reward_node", {}, "give parameter bundle or reward_model"),
        ("reward_node", {"reward_model": "fun"}, "unknown reward"),
        ("reward_node", {"reward_model": "dclaw-turn", "task_values": [0.1, 0.2]}, "1 finite numbers"),
        ("sim_node", {"plant": "spot"}, "known: dclaw"),
        ("sim_node", {"family": "chess"}, "'chess'; known:"),
        ("sim_node", {"family": "point-robot"}, "has tasks of"),
        ("sim_node", {"mode": "real_time", "state_rate_hz": 333.0}, "must divide the physics rate of 400 Hz"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_with_a_sentence(
    graph: Graph, name: str, parameters: dict[str, object], said: str
) -> None:
    start(graph, name, **parameters)
    assert not graph.probe.change(name, CONFIGURE)
    log = graph.child(name)
    graph.probe.until(lambda: said in log.log_tail(20), patience_s=5.0)


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("policy_node", {"plant_timeout_s": 0.0}, "Min: 0.1, Max: 600.0"),
        ("policy_node", {"plant_timeout_s": float("nan")}, "plant_timeout_s"),
        ("sim_node", {"mode": "warp"}, "mode must be one of lock_step, real_time, got 'warp'"),
        ("sim_node", {"task_seed": -2}, "task_seed"),
        ("sim_node", {"real_time_factor": 1000.0}, "Max: 100.0"),
        ("lifecycle_manager", {"timeout_s": -1.0}, "timeout_s"),
        ("recorder", {}, "give the parameters directory and topics"),
    ],
)
def test_a_parameter_out_of_range_ends_the_process_with_a_sentence(
    graph: Graph, name: str, parameters: dict[str, object], said: str
) -> None:
    start(graph, name, **parameters)
    child = graph.child(name)
    graph.probe.until(lambda: child.process.poll() is not None)
    assert child.process.returncode == 2
    assert said in child.log_tail(20)
    assert "Traceback" not in child.log_tail(50)


def test_parameters_of_a_running_node_stay_in_range_and_fixed_ones_stay(graph: Graph, bundle: Path) -> None:
    start(graph, "policy_node", bundle=str(bundle))

    def set_parameter(name: str, value: ParameterValue) -> object:
        request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
        return graph.probe.call(SetParameters, "policy_node/set_parameters", request).results[0]

    def number(value: float) -> ParameterValue:
        return ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)

    assert set_parameter("plant_timeout_s", number(3.0)).successful
    for value in (0.0, 1e9, float("nan"), float("inf")):
        refused = set_parameter("plant_timeout_s", number(value))
        assert not refused.successful
        assert "plant_timeout_s" in refused.reason
    fixed = set_parameter("bundle", ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="x"))
    assert not fixed.successful


def test_a_reward_model_that_is_not_the_bundles_is_refused(graph: Graph, tmp_path: Path) -> None:
    point = make_random_bundle(tmp_path / "point", family="point-robot").path
    start(graph, "reward_node", bundle=str(point), reward_model="dclaw-turn")
    assert not graph.probe.change("reward_node", CONFIGURE)
    log = graph.child("reward_node")
    graph.probe.until(lambda: "was trained with" in log.log_tail(20), patience_s=5.0)


def test_an_illegal_transition_does_not_end_the_node(graph: Graph, bundle: Path) -> None:
    start(graph, "policy_node", bundle=str(bundle))
    client = graph.probe.create_client(ChangeState, "policy_node/change_state")
    graph.probe.until(client.service_is_ready)
    # rcl leaves such a request without an answer.
    client.call_async(ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE)))
    child = graph.child("policy_node")
    graph.probe.until(lambda: "request refused by rcl" in child.log_tail(20))
    assert child.process.poll() is None
    assert graph.probe.change("policy_node", CONFIGURE)


def test_a_graph_takes_another_name_and_namespace(graph: Graph, bundle: Path) -> None:
    spec = NodeSpec(
        "brain", "pitaya_nodes", "policy_node", namespace="left", parameters={"bundle": str(bundle)}
    )
    graph.processes.start(replace(spec))
    assert graph.probe.change("/left/brain", CONFIGURE)
    names = [name for name, _ in graph.probe.get_topic_names_and_types()]
    assert "/left/joint_command" in names
    assert "/left/brain/belief" in names
