# SPDX-License-Identifier: Apache-2.0
"""Setting up does what changed and nothing else, and says what to do where it cannot."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

import environment  # noqa: E402
import machine  # noqa: E402
import ros_wheels  # noqa: E402


@pytest.fixture
def stamps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "stamps"
    monkeypatch.setattr(environment, "STAMPS", folder)
    return folder


def step(done: list[str], *inputs: str, outputs: tuple[Path, ...] = ()) -> environment.Step:
    return environment.Step("name", "title", inputs, outputs, lambda: done.append("done"))


def test_a_step_is_done_once_for_the_same_inputs(stamps: Path) -> None:
    done: list[str] = []
    step(done, "a").run()
    assert step(done, "a").is_done()
    assert not step(done, "b").is_done()
    assert not step(done, "a", "").is_done()


def test_a_step_whose_output_is_gone_is_not_done(stamps: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.touch()
    step([], "a", outputs=(output,)).run()
    assert step([], "a", outputs=(output,)).is_done()
    output.unlink()
    assert not step([], "a", outputs=(output,)).is_done()


def test_a_step_that_fails_is_not_done_even_if_it_was_before(stamps: Path) -> None:
    def fail() -> None:
        raise machine.SetupError("no network")

    step([], "a").run()
    with pytest.raises(machine.SetupError):
        environment.Step("name", "title", ("a",), (), fail).run()
    assert not step([], "a").is_done()


def test_the_paths_of_the_machine_that_built_the_wheels_become_those_of_this_one() -> None:
    prefix = "/opt/python/cp311-cp311"
    numpy = "lib/python3.11/site-packages/numpy/_core/include"
    text = f'set(a "{prefix}/include/python3.11;{prefix}/{numpy}")\nset(b "{prefix}")'
    relocated = ros_wheels.relocate(
        text, Path("/v"), Path("/v/lib/python3.11/site-packages"), Path("/usr/include/p")
    )
    expected = f'set(a "/usr/include/p;/v/{numpy}")\nset(b "/v")'
    assert relocated == expected


def fake_python(folder: Path, version: str, headers: Path) -> str:
    program = folder / "fake-python"
    program.write_text(f"#!/bin/sh\necho {version}\necho {headers}\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize("version", ["3.9.18", "3.14.0", "2.7.18"])
def test_an_unsupported_python_is_refused_by_version(version: str, tmp_path: Path) -> None:
    with pytest.raises(
        machine.SetupError, match=rf"is Python {re.escape(version)}; 3\.10 to 3\.13 are supported"
    ):
        machine.question_python(fake_python(tmp_path, version, tmp_path))


def test_missing_python_headers_are_named_with_the_package_that_has_them(tmp_path: Path) -> None:
    with pytest.raises(machine.SetupError, match=r"Python\.h is missing.*python3-dev"):
        machine.question_python(fake_python(tmp_path, "3.12.1", tmp_path))


def test_an_interpreter_that_does_not_exist_is_named() -> None:
    with pytest.raises(machine.SetupError, match=r"'/no/such/python'.*PYTHON="):
        machine.question_python("/no/such/python")


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(machine.SetupError, match="'no-such-compiler'"):
        machine.inspect_machine(repository, "")


def test_an_installed_ros_counts_and_the_checkouts_own_does_not(
    monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{repository}/install/pitaya_msgs:{repository}/.venv")
    assert machine.installed_ros(repository) is None
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{repository}/install/pitaya_msgs:/opt/ros/jazzy")
    assert machine.installed_ros(repository) == "jazzy"
    monkeypatch.delenv("ROS_DISTRO")  # the wheels of another checkout, not an installation
    assert machine.installed_ros(repository) is None


def with_ros(repository: Path, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [str(repository / "scripts" / "with_ros"), "sh", "-c", script]
    return subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60
    )


def test_a_command_keeps_its_exit_status(repository: Path) -> None:
    assert with_ros(repository, "exit 7").returncode == 7


def test_paths_of_this_checkout_come_first_and_once_however_often_they_are_set(repository: Path) -> None:
    nested = f"'{repository}/scripts/with_ros' sh -c 'echo $PYTHONPATH; echo $LD_LIBRARY_PATH'"
    python_path, library_path = with_ros(repository, nested, PYTHONPATH="/elsewhere").stdout.splitlines()
    assert python_path.split(":")[0] == f"{repository}/build/pitaya_nodes"
    assert python_path.split(":")[-1] == "/elsewhere"
    for entries in (python_path.split(":"), library_path.split(":")):
        assert len(set(entries)) == len(entries)
        assert all(entries)


def test_robots_on_the_network_hear_nothing_unless_asked_for(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE", raising=False)
    script = "echo $ROS_AUTOMATIC_DISCOVERY_RANGE"
    assert with_ros(repository, script).stdout == "LOCALHOST\n"
    assert with_ros(repository, script, ROS_AUTOMATIC_DISCOVERY_RANGE="SUBNET").stdout == "SUBNET\n"


def test_fast_dds_is_set_up_unless_the_user_has_done_it(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    script = "echo $FASTRTPS_DEFAULT_PROFILES_FILE"
    assert with_ros(repository, script).stdout == f"{repository}/config/dds/fastdds.xml\n"
    assert with_ros(repository, script, FASTRTPS_DEFAULT_PROFILES_FILE="/mine.xml").stdout == "/mine.xml\n"
    assert with_ros(repository, script, FASTDDS_DEFAULT_PROFILES_FILE="/mine.xml").stdout == "\n"


@pytest.mark.parametrize("group", ["pitaya.commands", "pitaya.families", "pitaya.plants", "pitaya.rewards"])
def test_every_entry_point_resolves(group: str) -> None:
    offered = importlib.metadata.entry_points(group=group)
    assert offered
    for entry in offered:
        assert callable(entry.load())
