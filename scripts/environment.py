# SPDX-License-Identifier: Apache-2.0
"""Builds the working environment of a checkout: virtual environment, pinned packages, ROS 2 packages.

Each step leaves a stamp with a hash of everything it depends on, so a second run does only what changed.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from machine import Machine, SetupError, inspect_machine
from ros_wheels import relocate_tree

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMPS = VENV / "stamps"
LOG = VENV / "setup.log"
REQUIREMENTS = ROOT / "requirements"
ROS_PACKAGES = ("pitaya_msgs", "pitaya_nodes", "pitaya_bringup")
# Variables of another environment that would leak into the one built here.
FOREIGN_VARIABLES = (
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "COLCON_PREFIX_PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
)
# What the ROS packages are built from. The modules of pitaya_nodes are linked: only its metadata counts.
ROS_SOURCES = (
    "CMakeLists.txt",
    "package.xml",
    "config/**/*",
    "launch/**/*",
    "ros_ws/src/pitaya_msgs/**/*",
    "ros_ws/src/pitaya_nodes/package.xml",
    "ros_ws/src/pitaya_nodes/resource/*",
    "ros_ws/src/pitaya_nodes/setup.*",
)


@dataclass(frozen=True)
class Step:
    """One part of the environment: done again if its inputs changed since then or outputs are gone."""

    name: str
    title: str
    inputs: tuple[str, ...]
    outputs: tuple[Path, ...]
    action: Callable[[], None]

    def digest(self) -> str:
        """Return the hash of the inputs."""
        return hashlib.sha256("\0".join(self.inputs).encode()).hexdigest()

    def is_done(self) -> bool:
        """Return whether the step succeeded before with the same inputs and its outputs are there."""
        stamp = STAMPS / self.name
        fresh = stamp.is_file() and stamp.read_text() == self.digest()
        return fresh and all(path.exists() for path in self.outputs)

    def run(self) -> None:
        """Do the step and leave its stamp."""
        print(f"{self.title} ...", flush=True)
        (STAMPS / self.name).unlink(missing_ok=True)
        begin = time.monotonic()
        self.action()
        STAMPS.mkdir(parents=True, exist_ok=True)
        (STAMPS / self.name).write_text(self.digest())
        print(f"{self.title}: done in {time.monotonic() - begin:.0f} s", flush=True)


def contents(*patterns: str) -> tuple[str, ...]:
    """Return names and contents of the files of the checkout that match the patterns, in a fixed order."""
    paths = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    paths = {path for path in paths if "__pycache__" not in path.parts}
    return tuple(f"{path.relative_to(ROOT)}\n{path.read_bytes().hex()}" for path in sorted(paths))


class Environment:
    """The steps that lead from a fresh clone to a working checkout."""

    def __init__(self, machine: Machine) -> None:
        """Plan for a machine; changes nothing."""
        self.machine = machine
        self.site_packages = VENV / "lib" / machine.series / "site-packages"

    def steps(self, development: bool) -> list[Step]:
        """Return the steps in order; the inputs of each hold those of the steps it builds on."""
        machine = self.machine
        base = (str(ROOT), machine.version, machine.headers, machine.ros or "wheels")
        packages = (*base, *contents("pyproject.toml", "requirements/*.txt"))
        wheels = (*base, *contents("requirements/build.txt", "requirements/ros-jazzy.txt"))
        links = (ROOT / "install" / "pitaya_msgs", ROOT / "build" / "pitaya_nodes")
        steps = [
            Step(
                "venv",
                f"Virtual environment (Python {machine.version})",
                base,
                (VENV_PYTHON,),
                self.make_venv,
            ),
            Step("run", "Packages that run Pitaya", packages, (VENV / "ros",), self.install_run),
        ]
        if development:
            steps.append(
                Step("dev", "Packages for training and tests", packages, (), self.install_development)
            )
        steps.append(
            Step("ros-clean", "Folders of the ROS 2 packages", wheels, (), self.remove_build_folders)
        )
        steps.append(
            Step("ros", "ROS 2 packages", (*wheels, *contents(*ROS_SOURCES)), links, self.build_ros_packages)
        )
        return steps

    def make_venv(self) -> None:
        """Create the virtual environment anew."""
        shutil.rmtree(VENV, ignore_errors=True)
        command = [self.machine.python, "-m", "venv", str(VENV)]
        if self.machine.ros:
            command.append("--system-site-packages")
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            print(done.stdout + done.stderr, file=sys.stderr)
            raise SetupError("python -m venv failed (Debian, Ubuntu: apt install python3-venv)")

    def install_run(self) -> None:
        """Install build tools, ROS 2 unless the machine has it, and what the demo needs."""
        (VENV / "ros").unlink(missing_ok=True)
        self.pip_install("--requirement", str(REQUIREMENTS / "build.txt"))
        requirements = [] if self.machine.ros else ["--requirement", str(REQUIREMENTS / "ros-jazzy.txt")]
        self.pip_install("--no-build-isolation", *requirements, "--editable", ".[hardware,sim,plot,record]")
        if self.machine.ros is None:
            relocate_tree(VENV, self.site_packages, Path(self.machine.headers))
        source = f"installed {self.machine.ros}" if self.machine.ros else "wheels"
        (VENV / "ros").write_text(f"python={self.machine.series}\nsource={source}\n")

    def install_development(self) -> None:
        """Install torch and the tools that check the code."""
        self.pip_install("--no-build-isolation", "--editable", ".[dev]")

    def remove_build_folders(self) -> None:
        """Remove what colcon built: its folders remember interpreter and prefixes."""
        for folder in ("build", "install", "log"):
            shutil.rmtree(ROOT / folder, ignore_errors=True)

    def build_ros_packages(self) -> None:
        """Build the ROS 2 packages with colcon into build/ and install/."""
        command = [
            str(VENV_PYTHON),
            "-m",
            "colcon",
            "build",
            "--symlink-install",
            "--packages-select",
            *ROS_PACKAGES,
        ]
        command += ["--cmake-args", "-DCMAKE_BUILD_TYPE=Release"]
        if self.machine.ros is None:
            command += [f"-DPython3_EXECUTABLE={VENV_PYTHON}", "-DPython3_FIND_VIRTUALENV=ONLY"]
        else:  # its generators run on the interpreter that they came with
            command += [f"-DPython3_EXECUTABLE={self.machine.python}"]
        self.call(command)

    def pip_install(self, *arguments: str) -> None:
        """Install packages at the versions of the constraints file."""
        pip = [str(VENV_PYTHON), "-m", "pip", "install", "--disable-pip-version-check"]
        self.call([*pip, "--constraint", str(self.constraints()), *arguments])

    def constraints(self) -> Path:
        """Return the constraints file for this machine.

        An installed ROS 2 compiles messages against the NumPy of the system, so that one is kept there.
        """
        pinned = REQUIREMENTS / "constraints.txt"
        if self.machine.ros is None:
            return pinned
        lines = [line for line in pinned.read_text().splitlines() if not line.startswith("numpy==")]
        path = VENV / "constraints.txt"
        path.write_text("\n".join([*lines, f"numpy=={self.machine.numpy}", ""]))
        return path

    def call(self, command: Sequence[str]) -> None:
        """Run a program with its output in the log; show the end of its output if it fails.

        Raises:
            SetupError: The program ended with another status than 0.
        """
        with LOG.open("ab") as log:
            log.write(f"\n$ {' '.join(command)}\n".encode())
            log.flush()
            begin = LOG.stat().st_size
            done = subprocess.run(
                command, cwd=ROOT, env=self.variables(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if done.returncode != 0:
            output = LOG.read_bytes()[begin:].decode("utf-8", "replace")
            print(*output.splitlines()[-40:], sep="\n", file=sys.stderr)
            shown = " ".join(command[:4])
            raise SetupError(
                f"`{shown} ...` ended with status {done.returncode}; the whole output is in {LOG}"
            )

    def variables(self) -> dict[str, str]:
        """Return the environment variables of the programs that the steps start."""
        variables = dict(os.environ)
        if self.machine.ros is None:
            for name in FOREIGN_VARIABLES:
                variables.pop(name, None)
            variables["AMENT_PREFIX_PATH"] = variables["CMAKE_PREFIX_PATH"] = str(VENV)
        variables["PATH"] = os.pathsep.join((str(VENV / "bin"), variables.get("PATH", os.defpath)))
        return variables


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what is missing of the environment and return the exit status."""
    parser = argparse.ArgumentParser(description="Build the working environment of this checkout.")
    parser.add_argument(
        "--dev", action="store_true", help="also install torch and the tools that check the code"
    )
    parser.add_argument(
        "--python", default="", help="interpreter to build on (default: the present environment's)"
    )
    options = parser.parse_args(arguments)
    begin = time.monotonic()
    changed = False
    lock = os.open(ROOT, os.O_RDONLY)  # two builds at once in one checkout would tear each other's files
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        for step in Environment(inspect_machine(ROOT, options.python)).steps(options.dev):
            if not step.is_done():
                step.run()
                changed = True
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    finally:
        os.close(lock)
    if changed:
        print(f"Set up in {time.monotonic() - begin:.0f} s.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
