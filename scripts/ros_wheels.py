# SPDX-License-Identifier: Apache-2.0
"""Makes the ROS 2 wheels of a virtual environment usable for building packages against them."""

from __future__ import annotations

import re
from pathlib import Path

# The wheels were built in a container; its prefix, one per Python version, stands in their CMake files.
BUILD_PREFIX = re.compile(r"/opt/python/cp\d+-cp\d+")
# Kinds of text file under share/ that carry it.
SUFFIXES = frozenset({".cmake", ""})


def relocate(text: str, venv: Path, site_packages: Path, python_include: Path) -> str:
    """Return `text` with the paths of the machine that built the wheels replaced by this machine's.

    Args:
        text: Content of an exported CMake file or of an ament index entry.
        venv: Prefix the wheels are installed in.
        site_packages: Folder of the Python packages, which holds NumPy's C headers.
        python_include: Folder that holds Python.h; a virtual environment has none of its own.
    """
    prefix = BUILD_PREFIX.pattern
    text = re.sub(rf"{prefix}/lib/python3\.\d+/site-packages", lambda _: str(site_packages), text)
    text = re.sub(rf"{prefix}/include/python3\.\d+", lambda _: str(python_include), text)
    return BUILD_PREFIX.sub(lambda _: str(venv), text)


def relocate_tree(venv: Path, site_packages: Path, python_include: Path) -> int:
    """Relocate every file under `venv`/share that needs it and return how many did."""
    changed = 0
    for path in sorted((venv / "share").rglob("*")):
        if path.suffix not in SUFFIXES or not path.is_file():
            continue
        before = path.read_bytes()
        if b"/opt/python/cp" not in before:
            continue
        after = relocate(before.decode("utf-8"), venv, site_packages, python_include)
        path.write_bytes(after.encode("utf-8"))
        changed += 1
    return changed
