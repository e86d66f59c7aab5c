# SPDX-License-Identifier: Apache-2.0
"""What every benchmark writes beside its numbers: machine, versions, commit, load."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_TELLING_FLAGS = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve")
_PACKAGES = ("pitaya", "numpy", "safetensors", "mujoco", "torch")


def describe_machine() -> dict[str, Any]:
    """Processor, memory, system, versions, commit and the load at this moment."""
    model, flags = _processor()
    return {
        "cpu_model": model,
        "cpu_features": [flag for flag in _TELLING_FLAGS if flag in flags],
        "cpus": os.cpu_count(),
        "cpus_usable": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": _versions(),
        "commit": _commit(),
        "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def write_report(path: Path | None, results: dict[str, Any]) -> None:
    """Writes results and machine as JSON to `path`; prints them if there is none."""
    text = json.dumps({**results, "machine": describe_machine()}, indent=1)
    if path is None:
        print(text)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def _processor() -> tuple[str, set[str]]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine(), set()
    entries = dict(line.split(":", 1) for line in text.split("\n\n", 1)[0].splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in entries.items()}
    return fields.get("model name", platform.machine()), set(
        fields.get("flags", fields.get("Features", "")).split()
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str:
    """The checkout's commit, with a plus sign where tracked files differ from it."""
    folder = Path(__file__).parent
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()
