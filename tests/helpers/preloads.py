# SPDX-License-Identifier: Apache-2.0
"""Small C libraries that change what the system tells a process, preloaded into it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_COMPILERS = ("cc", "gcc", "clang")


def build_preload(source: Path, folder: Path) -> Path:
    """Builds a library from one C file; gives its path, for LD_PRELOAD.

    Raises:
        OSError: If there is no C compiler, or it fails.
    """
    compiler = next((found for name in _COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise OSError(f"no C compiler ({', '.join(_COMPILERS)}) is on the path: install one")
    library = folder / f"{source.stem}.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{source.name} could not be built: {done.stderr}")
    return library
