# SPDX-License-Identifier: Apache-2.0
"""Nodes of a bring-up are told how far and how to find others, unless the user has set that up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pitaya_nodes.discovery import PROFILES, RANGE, discovery_environment
from pitaya_nodes.processes import ProcessGroup

_START = "import rclpy; rclpy.init(); rclpy.create_node('one').destroy_node(); rclpy.shutdown()"
_LOOK = "node = rclpy.create_node('one'); print('/dev/shm/fastrtps_port' in open('/proc/self/maps').read()); "


def test_nodes_get_the_installed_profile() -> None:
    path = discovery_environment({})[PROFILES]
    assert Path(path).parts[-3:] == ("config", "dds", "fastdds.xml")
    assert Path(path).is_file()


def test_whoever_sets_up_dds_is_left_alone() -> None:
    for name in (PROFILES, "FASTDDS_DEFAULT_PROFILES_FILE", "RMW_FASTRTPS_USE_QOS_FROM_XML"):
        assert PROFILES not in discovery_environment({name: "/mine.xml"})


@pytest.mark.parametrize(
    ("users", "added"), [({}, "LOCALHOST"), ({RANGE: ""}, "LOCALHOST"), ({RANGE: "SUBNET"}, None)]
)
def test_nodes_find_this_machine_alone_unless_the_user_sets_a_range(
    users: dict[str, str], added: str | None
) -> None:
    assert discovery_environment(users).get(RANGE) == added


@pytest.mark.parametrize(("users", "found"), [(None, "LOCALHOST"), ("SUBNET", "SUBNET")])
def test_processes_of_a_bring_up_get_that_range(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, users: str | None, found: str
) -> None:
    if users is None:
        monkeypatch.delenv(RANGE, raising=False)
    else:
        monkeypatch.setenv(RANGE, users)
    with ProcessGroup(folder=tmp_path) as group:
        child = group.start_command("range", ["printenv", RANGE])
        assert child.process.wait(60) == 0
    assert child.log_tail() == found


def test_fast_dds_reads_the_profile_without_a_complaint(tmp_path: Path) -> None:
    def said(profile: str) -> str:
        environment = {**os.environ, PROFILES: profile, "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"}
        words = [sys.executable, "-c", _START]
        ended = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=60)
        return ended.stdout + ended.stderr

    installed = discovery_environment({})[PROFILES]
    assert said(installed) == ""
    broken = tmp_path / "broken.xml"
    broken.write_text(Path(installed).read_text(encoding="utf-8").replace("count>", "counts>"))
    assert "XMLPARSER" in said(str(broken))


def test_nodes_share_no_memory_which_a_killed_process_would_lock() -> None:
    def shared(environment: dict[str, str]) -> bool:
        words = [sys.executable, "-c", _START.replace("rclpy.create_node('one')", _LOOK + "node")]
        ended = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=60)
        return ended.stdout.strip() == "True"

    bare = {name: value for name, value in os.environ.items() if name != PROFILES}
    bare["RMW_IMPLEMENTATION"] = "rmw_fastrtps_cpp"
    assert shared(bare)
    assert not shared(bare | discovery_environment({}))
