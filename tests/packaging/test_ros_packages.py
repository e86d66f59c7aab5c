# SPDX-License-Identifier: Apache-2.0
"""colcon finds the three ROS 2 packages, and what they promise about themselves is true."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

PACKAGES = {
    "pitaya_bringup": (".", "ros.ament_cmake"),
    "pitaya_msgs": ("ros_ws/src/pitaya_msgs", "ros.ament_cmake"),
    "pitaya_nodes": ("ros_ws/src/pitaya_nodes", "ros.ament_python"),
}
INTERFACES = sorted((Path(__file__).resolve().parents[2] / "ros_ws/src/pitaya_msgs").glob("*/*.*"))


def test_colcon_lists_the_three_packages_with_their_build_types(repository: Path) -> None:
    # A package.xml that catkin_pkg refuses still lists, but as "cmake" or "python" without "ros.".
    command = [sys.executable, "-m", "colcon", "--log-base", "/dev/null", "list"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    listed = {name: (path, kind.strip("()")) for name, path, kind in map(str.split, done.stdout.splitlines())}
    assert listed == PACKAGES


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_each_package_has_the_version_and_licence_of_the_distribution(name: str, repository: Path) -> None:
    package = ElementTree.parse(repository / PACKAGES[name][0] / "package.xml").getroot()
    version = re.search(r'^version = "(.+)"$', (repository / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert package.findtext("name") == name
    assert package.get("format") == "3"
    assert package.findtext("version") == version.group(1)
    assert package.findtext("license") == "Apache-2.0"


def field_lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines of an interface file that define a field or a constant, with their places."""
    lines = enumerate(path.read_text().splitlines())
    return [(place, line) for place, line in lines if line and not line.startswith("#") and line != "---"]


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: path.name)
def test_every_field_says_above_it_what_it_means(path: Path) -> None:
    lines = path.read_text().splitlines()
    bare = [line for place, line in field_lines(path) if not lines[place - 1].startswith("# ")]
    assert field_lines(path)
    assert not bare


def test_every_interface_file_is_built(repository: Path) -> None:
    named = re.findall(
        r'"(\w+/\w+\.\w+)"', (repository / "ros_ws/src/pitaya_msgs/CMakeLists.txt").read_text()
    )
    assert sorted(named) == [f"{path.parent.name}/{path.name}" for path in INTERFACES]


@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: path.name)
def test_every_interface_imports_with_its_type_support(path: Path) -> None:
    module = __import__(f"pitaya_msgs.{path.parent.name}", fromlist=[path.stem])
    interface = getattr(module, path.stem)
    interface.__class__.__import_type_support__()
    assert interface.__class__._TYPE_SUPPORT is not None


@pytest.mark.parametrize("folder", ["config", "launch"])
def test_the_bringup_package_installs_what_the_checkout_holds(folder: str, repository: Path) -> None:
    installed = repository / "install" / "pitaya_bringup" / "share" / "pitaya_bringup" / folder
    held = {path.relative_to(repository / folder) for path in (repository / folder).rglob("*.*")}
    held = {path for path in held if "__pycache__" not in path.parts}
    assert held
    assert held == {path.relative_to(installed) for path in installed.rglob("*.*")}
