# SPDX-License-Identifier: Apache-2.0
"""Builds and loads the networks written in C++ (`native/`), for the processor at hand.

Nothing has to be installed for them but a C++ compiler: the first training on a machine builds the library, in some ten
seconds, and keeps it in the user's cache. Before it is used it must agree with PyTorch on a small network; without
compiler, or if it does not agree, networks run as PyTorch, more slowly.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
import warnings
from functools import lru_cache
from pathlib import Path

SOURCES = Path(__file__).parent / "native"
MAIN_SOURCE = SOURCES / "fused_mlp.cpp"
FLAGS = ("-O3", "-std=c++17", "-shared", "-fPIC", "-pthread", "-march=native")
BUILD_TIMEOUT_S = 300.0
INSTRUCTIONS = frozenset({"amx_bf16", "avx512_bf16"})
"""Flags of processors that there are products for."""
_PROCESSORS = Path("/proc/cpuinfo")


class NativeBuildError(Exception):
    """The library cannot be built or loaded here; the message says why."""


@lru_cache
def native_library() -> ctypes.CDLL | None:
    """The library, built if need be.

    None where the processor has no products of bfloat16, and, with one warning that says why, where it cannot be built.
    """
    instructions = set(_instructions().split())
    if not INSTRUCTIONS & instructions:
        return None
    try:
        library = load(build(cache_folder()))
        if "amx_bf16" in instructions and not library.pitaya_has_tiles():
            raise NativeBuildError("the compiler does not know the tiles of AMX, as GCC 11 and Clang 12 do")
        return library
    except NativeBuildError as error:
        warnings.warn(f"networks run as plain PyTorch, more slowly: {error}", RuntimeWarning, stacklevel=2)
        return None


def cache_folder() -> Path:
    """Where the library is kept: `pitaya` within XDG_CACHE_HOME, ~/.cache if that is not set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pitaya"


def build(folder: Path) -> Path:
    """The library for these sources, this compiler and this processor, within `folder`.

    Raises:
        NativeBuildError: If there is no compiler, or it does not take the sources, or `folder` cannot be written to.
    """
    compiler = _compiler()
    library = folder / f"networks-{_identity(compiler)}.so"
    if library.is_file():
        return library
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            fresh = Path(scratch) / library.name
            _compile(compiler, fresh)
            fresh.replace(library)  # whole or not at all, also if two trainings begin at once
    except OSError as error:
        raise NativeBuildError(f"cannot build in {folder}: {error}") from error
    return library


def load(path: Path) -> ctypes.CDLL:
    """Loads the library.

    Raises:
        NativeBuildError: If it is no library for this machine, or Linux refuses what it needs.
    """
    try:
        library = ctypes.CDLL(str(path))
        library.pitaya_saved_bytes.restype = ctypes.c_int64
        library.pitaya_forward.restype = None
        library.pitaya_backward.restype = None
        refused = library.pitaya_prepare()
    except (OSError, AttributeError) as error:
        raise NativeBuildError(f"cannot load {path}: {error}") from error
    if refused:
        raise NativeBuildError("Linux lets this process use no tiles of AMX")
    return library


def _compiler() -> str:
    names = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    for name in names:
        if name and (found := shutil.which(name)):
            return found
    raise NativeBuildError("no C++ compiler, neither $CXX nor c++, g++ or clang++")


def _identity(compiler: str) -> str:
    """Changes with whatever changes the library: sources, flags, compiler, instructions of the processor."""
    known = hashlib.sha256(" ".join(FLAGS).encode())
    for source in sorted(SOURCES.iterdir()):
        known.update(source.read_bytes())
    stat = Path(compiler).resolve().stat()
    known.update(f"{compiler} {stat.st_size} {stat.st_mtime_ns}".encode())
    known.update(_instructions().encode())
    return known.hexdigest()[:16]


def _instructions() -> str:
    try:
        lines = _PROCESSORS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    wanted = ("model name", "flags", "Features")
    return "\n".join(sorted({line for line in lines if line.partition(":")[0].strip() in wanted}))


def _compile(compiler: str, library: Path) -> None:
    command = [compiler, *FLAGS, str(MAIN_SOURCE), "-o", str(library)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
    except subprocess.CalledProcessError as error:
        reason = next((line for line in error.stderr.splitlines() if "error" in line), error.stderr[:200])
        raise NativeBuildError(f"{compiler} does not take {MAIN_SOURCE.name}: {reason}") from error
    except subprocess.TimeoutExpired as error:
        raise NativeBuildError(f"{compiler} did not finish within {BUILD_TIMEOUT_S:g} s") from error
