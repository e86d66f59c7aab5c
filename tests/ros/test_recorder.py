# SPDX-License-Identifier: Apache-2.0
"""Recordings survive whatever ends a graph, explain themselves, and hold every message."""

import signal
from pathlib import Path

import pytest
import yaml
from mcap.exceptions import EndOfFile
from mcap.reader import NonSeekingReader
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from pitaya_nodes import qos
from pitaya_nodes.bag_writer import BagWriter
from pitaya_nodes.bringup import NodeSpec
from pitaya_nodes.errors import RecordingError
from pitaya_nodes.message_definitions import MessageDefinitions, message_class
from pitaya_nodes.recording import read_messages
from tests.ros.graph import Graph


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_every_message_is_there_after_the_recorder_was_told_to_stop(
    graph: Graph, tmp_path: Path, number: signal.Signals
) -> None:
    bag = tmp_path / "bag"
    parameters = {"directory": str(bag), "topics": ["numbers", "joint_states", "never"]}
    child = graph.processes.start(NodeSpec("recorder", "pitaya_nodes", "recorder", parameters=parameters))
    probe = graph.probe
    numbers = probe.create_publisher(Float64MultiArray, "numbers", qos.PAIRED)
    states = probe.create_publisher(JointState, "joint_states", qos.SENSOR)
    probe.until(lambda: numbers.get_subscription_count() and states.get_subscription_count() >= 2)
    for index in range(200):
        numbers.publish(Float64MultiArray(data=[float(index)]))
    states.publish(JointState(name=["a"], position=[1.5]))
    numbers.wait_for_all_acked()
    probe.spin(0.5)
    child.process.send_signal(number)
    assert child.process.wait(20) == 0

    messages = read_messages(bag)
    assert [message.data[0] for message in messages["/numbers"]] == list(range(200))
    assert messages["/joint_states"][0].position[0] == 1.5
    metadata = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert metadata["message_count"] == 201
    assert metadata["storage_identifier"] == "mcap"
    assert metadata["relative_file_paths"] == ["bag.mcap"]
    offered = {
        item["topic_metadata"]["name"]: item["topic_metadata"]["offered_qos_profiles"][0]["reliability"]
        for item in metadata["topics_with_message_count"]
    }
    assert offered == {"/numbers": "reliable", "/joint_states": "best_effort"}


def test_the_recording_is_whole_although_every_other_node_was_killed(
    graph: Graph, bundle: Path, tmp_path: Path
) -> None:
    graph.up(bundle=str(bundle), record="true", out=str(tmp_path))
    probe = graph.probe
    for topic in ("/executed_command", "/policy_node/belief"):
        probe.until(lambda topic=topic: "recorder" in readers(graph, topic))
    probe.send(steps_per_episode=100_000)
    probe.until(lambda: len(probe.heard["policy_node/belief"]) > 50)
    for child in graph.processes.children:
        if child.spec.name != "recorder":
            child.process.kill()
    recorder = graph.child("recorder")
    probe.spin(1.5)
    assert recorder.process.poll() is None
    recorder.process.send_signal(signal.SIGINT)
    assert recorder.process.wait(20) == 0
    messages = read_messages(tmp_path / "recording")
    assert len(messages["/executed_command"]) > 20
    assert len(messages["/policy_node/belief"]) > 20


def readers(graph: Graph, topic: str) -> list[str]:
    return [info.node_name for info in graph.probe.get_subscriptions_info_by_topic(topic)]


def test_what_was_flushed_can_be_read_although_the_writer_never_closed(tmp_path: Path) -> None:
    bag = BagWriter(tmp_path / "bag")
    connection = bag.add_topic("/x", "std_msgs/msg/Float64MultiArray", latched=False, reliable=True)
    for index in range(5):
        bag.write(connection, index, b"\x00\x01\x00\x00" + bytes(12))
    bag.flush()
    with (tmp_path / "bag" / "bag.mcap").open("rb") as file:
        stamps = []
        with pytest.raises(EndOfFile):
            for _, _, message in NonSeekingReader(file).iter_messages(log_time_order=False):
                stamps.append(message.log_time)
    assert stamps == [0, 1, 2, 3, 4]


def test_a_recording_is_never_overwritten(tmp_path: Path) -> None:
    BagWriter(tmp_path / "bag").close()
    with pytest.raises(RecordingError, match="exists already"):
        BagWriter(tmp_path / "bag")


def test_definitions_of_any_installed_message_are_found_with_the_hash_ros_gives_them(graph: Graph) -> None:
    definitions, probe = MessageDefinitions(), graph.probe
    for number, name in enumerate(["pitaya_msgs/msg/TaskBelief", "sensor_msgs/msg/JointState"]):
        publisher = probe.create_publisher(message_class(name), f"topic{number}", 1)
        (info,) = probe.until(lambda topic=publisher.topic_name: probe.get_publishers_info_by_topic(topic))
        definitions.require(name)
        assert definitions.types.hash_rihs01(name) == str(info.topic_type_hash)


@pytest.mark.parametrize("name", ["moon_msgs/msg/Crater", "pitaya_msgs/msg/Crater", "Crater"])
def test_a_message_type_that_is_not_installed_is_named(name: str) -> None:
    with pytest.raises(RecordingError, match="Crater"):
        MessageDefinitions().require(name)
    with pytest.raises(RecordingError, match="Crater"):
        message_class(name)
