# SPDX-License-Identifier: Apache-2.0
"""Looks at the machine that a checkout is set up on and changes nothing."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SUPPORTED = ((3, 10), (3, 13))


class SetupError(Exception):
    """The environment cannot be built; the message says what to do."""


@dataclass(frozen=True)
class Machine:
    """What an environment is built on."""

    python: str
    version: str  # "3.12.1"
    headers: str  # folder of Python.h
    ros: str | None  # distribution of a sourced ROS 2 installation, None: the wheels are used
    numpy: str | None  # version that the installed ROS 2 uses, None without one

    @property
    def series(self) -> str:
        """Return the name that Python gives its library folder, for example "python3.12"."""
        return "python" + ".".join(self.version.split(".")[:2])


def inspect_machine(root: Path, named_python: str) -> Machine:
    """Return what the checkout at `root` is to be built on.

    Args:
        root: Top folder of the checkout.
        named_python: Interpreter that the user asked for, empty if none.

    Raises:
        SetupError: Python is too old or too new, its headers or a C++ compiler are missing, or there is
            neither a ROS 2 installation nor a wheel for this kind of machine.
    """
    python = choose_python(root, named_python)
    version, headers = question_python(python)
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler) is None:
        raise SetupError(
            f"no C++ compiler {compiler!r} found; install one (Debian, Ubuntu: apt install g++) or set CXX"
        )
    ros = installed_ros(root)
    if ros is None and (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise SetupError(
            f"ROS 2 wheels exist for Linux on x86_64, this is {platform.system()} on {platform.machine()}; "
            "install ROS 2 Jazzy and source its setup file first"
        )
    return Machine(python, version, headers, ros, None if ros is None else numpy_of_ros(python, ros))


def choose_python(root: Path, named: str) -> str:
    """Return the interpreter to build on: the named, else the environment's, else the running one."""
    if named:
        return shutil.which(named) or named
    config = root / ".venv" / "pyvenv.cfg"
    if config.is_file():
        settings = dict(line.split(" = ", 1) for line in config.read_text().splitlines() if " = " in line)
        for library in (root / ".venv" / "lib").glob("python3.*"):
            base = Path(settings.get("home", "")) / library.name
            if base.is_file():
                return str(base)
    return sys.executable


def question_python(python: str) -> tuple[str, str]:
    """Return version and header folder of an interpreter.

    Raises:
        SetupError: It does not run, is of an unsupported version or lacks its headers.
    """
    question = (
        "import sys, sysconfig; print(*sys.version_info[:3], sep='.'); print(sysconfig.get_path('include'))"
    )
    try:
        answer = subprocess.run([python, "-c", question], check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(
            f"cannot run the interpreter {python!r} ({error}); name another with PYTHON=..."
        ) from error
    version, headers = answer.splitlines()
    if not SUPPORTED[0] <= tuple(map(int, version.split(".")[:2])) <= SUPPORTED[1]:
        raise SetupError(
            f"{python} is Python {version}; 3.10 to 3.13 are supported: name one with PYTHON=python3.12"
        )
    if not (Path(headers) / "Python.h").is_file():
        raise SetupError(
            f"{headers}/Python.h is missing; install Python's headers (Debian: apt install python3-dev)"
        )
    return version, headers


def numpy_of_ros(python: str, ros: str) -> str:
    """Return the version of NumPy beside the rclpy of an installed ROS 2.

    Raises:
        SetupError: The interpreter is not the one that ROS 2 was built for.
    """
    question = [python, "-c", "import rclpy, numpy; print(numpy.__version__)"]
    done = subprocess.run(question, capture_output=True, text=True)
    if done.returncode != 0:
        raise SetupError(
            f"ROS 2 {ros} is sourced, but {python} cannot import its rclpy ({done.stderr.strip()[-200:]}); "
            "name the interpreter that it was built for: PYTHON=/usr/bin/python3, or use a shell without it"
        )
    return done.stdout.strip()


def installed_ros(root: Path) -> str | None:
    """Return the distribution of a sourced ROS 2, or None; the checkout's own paths do not count."""
    prefixes = [Path(entry) for entry in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if entry]
    foreign = [prefix for prefix in prefixes if root not in (prefix, *prefix.parents)]
    distribution = os.environ.get("ROS_DISTRO")
    return distribution if distribution and foreign else None
