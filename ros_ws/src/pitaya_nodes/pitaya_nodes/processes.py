# SPDX-License-Identifier: Apache-2.0
"""Starts the processes of a bring-up and ends every one of them, whatever happens to this process."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from pitaya_nodes.bringup import NodeSpec
from pitaya_nodes.discovery import discovery_environment
from pitaya_nodes.errors import BringUpError
from pitaya_nodes.restarts import RESPAWN_DELAY_S, RestartBudget
from pitaya_nodes.security import enclave_arguments

INTERRUPT_GRACE_S = 15.0
TERMINATE_GRACE_S = 5.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass
class Child:
    """One running process of a graph."""

    spec: NodeSpec
    process: subprocess.Popen[bytes]
    log: Path | None
    started_s: float

    def log_tail(self, lines: int = 5) -> str:
        """The last lines it wrote, if they go to a file."""
        if self.log is None or not self.log.is_file():
            return ""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


class ProcessGroup:
    """The processes of one bring-up, each in a process group of its own.

    Ctrl-C reaches only the parent, which then ends its children in reverse order, so that a recorder that was
    started first sees everything. If the parent is killed the kernel ends them (PR_SET_PDEATHSIG).
    """

    def __init__(self, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> None:
        """Prepares, starting nothing.

        Args:
            environment: Variables set for the processes besides those of this one.
            folder: Where logs and parameter files go; None lets the processes write to this one's output.
        """
        found = discovery_environment(os.environ)
        self._environment = {**os.environ, **found, **(environment or {}), "PYTHONUNBUFFERED": "1"}
        self._folder = folder
        self.children: list[Child] = []
        self._budgets: dict[str, RestartBudget] = {}

    def start(self, spec: NodeSpec) -> Child:
        """Starts one node.

        Raises:
            BringUpError: If its executable is not installed or cannot be started.
        """
        return self._start(spec, self._command(spec))

    def start_command(self, name: str, command: Sequence[str]) -> Child:
        """Starts a program that is not an installed node.

        Raises:
            BringUpError: If it cannot be started.
        """
        return self._start(NodeSpec(name, "", ""), command)

    def _start(self, spec: NodeSpec, command: Sequence[str]) -> Child:
        log_path, log = None, None
        if self._folder is not None:
            log_path = self._folder / f"{spec.name}.log"
            log = log_path.open("ab")
        try:
            process = self._spawn(command, log)
        except OSError as error:
            raise BringUpError(f"cannot start {spec.name}: {error}") from error
        finally:
            if log is not None:
                log.close()
        child = Child(spec, process, log_path, time.monotonic())
        self.children.append(child)
        return child

    def poll(self) -> list[Child]:
        """Children that ended since the last call; those to be started again are left to `respawn`."""
        ended = [child for child in self.children if child.process.poll() is not None]
        self.children = [child for child in self.children if child not in ended]
        return ended

    def respawn(self, child: Child) -> bool:
        """Starts an ended child again, unless it is not to be or has died too often.

        Raises:
            BringUpError: If it cannot be started.
        """
        budget = self._budgets.setdefault(child.spec.name, RestartBudget())
        if not child.spec.respawn or not budget.take(time.monotonic()):
            return False
        # Not at once: a process that dies while it starts must not keep the machine busy.
        time.sleep(max(0.0, RESPAWN_DELAY_S - (time.monotonic() - child.started_s)))
        self.start(child.spec)
        return True

    def stop(self) -> None:
        """Ends all children: interrupt, then terminate, then kill; the last started ends first."""
        for child in reversed(self.children):
            _end(child.process)
        self.children.clear()

    def __enter__(self) -> ProcessGroup:
        """Nothing to do."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends all children."""
        self.stop()

    def _spawn(self, command: Sequence[str], log: IO[bytes] | None) -> subprocess.Popen[bytes]:
        parent = os.getpid()

        def in_child() -> None:
            os.setpgid(0, 0)
            # The recorder must be able to complete its file, so the kernel asks instead of killing.
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

        return subprocess.Popen(
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT if log is not None else None,
            preexec_fn=in_child,
        )

    def _command(self, spec: NodeSpec) -> list[str]:
        command = [*_executable(spec), *spec.arguments, "--ros-args", "-r", f"__node:={spec.name}"]
        command += enclave_arguments(spec.name, self._environment)
        if spec.namespace:
            command += ["-r", f"__ns:=/{spec.namespace.strip('/')}"]
        for source, target in spec.remappings.items():
            command += ["-r", f"{source}:={target}"]
        for name, value in spec.parameters.items():
            command += ["-p", f"{name}:={_parameter_text(value)}"]
        return command


def _executable(spec: NodeSpec) -> list[str]:
    try:
        path = Path(get_package_prefix(spec.package), "lib", spec.package, spec.executable)
    except (PackageNotFoundError, LookupError) as error:
        raise BringUpError(f"ROS package {spec.package} is not on the path: build and source it") from error
    if not path.is_file():
        raise BringUpError(f"package {spec.package} has no executable {spec.executable} ({path} is missing)")
    # This very interpreter: the script's own may lack the environment that this process runs in.
    return [sys.executable, str(path)] if _is_python(path) else [str(path)]


def _is_python(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline(200)
    return first.startswith(b"#!") and b"python" in first


def _parameter_text(value: Any) -> str:
    """A value as rcl reads it on a command line: YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6).strip()
    return text.removesuffix("...").strip()


def _end(process: subprocess.Popen[bytes]) -> None:
    for number, grace_s in ((signal.SIGINT, INTERRUPT_GRACE_S), (signal.SIGTERM, TERMINATE_GRACE_S)):
        if process.poll() is not None:
            return
        _signal_group(process, number)
        try:
            process.wait(grace_s)
            return
        except subprocess.TimeoutExpired:
            continue
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
