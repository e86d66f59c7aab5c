# SPDX-License-Identifier: Apache-2.0
"""Builds and loads the networks written in C++ (`native/`), for the processor at hand.

Nothing has to be installed for them but a C++ compiler: the first training on a machine builds the library, in some ten
seconds, and keeps it in the user's cache. There is one for products in bfloat16 and one for those in float32. Before it
is used it must agree with PyTorch on a small network; without compiler, or if it does not agree, networks run as
PyTorch, more slowly.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

SOURCES = Path(__file__).parent / "native"
MAIN_SOURCE = SOURCES / "fused_mlp.cpp"
FLAGS = ("-O3", "-std=c++17", "-shared", "-fPIC", "-march=native")
BUILD_TIMEOUT_S = 300.0
FLOAT32_FLAG = "-DPITAYA_FLOAT32"
_PROCESSORS = Path("/proc/cpuinfo")
_MAPPED_FILES = Path("/proc/self/maps")


class NativeBuildError(Exception):
    """The library cannot be built or loaded here; the message says why."""


@lru_cache
def native_library(*, bfloat16: bool) -> ctypes.CDLL | None:
    """The library for products in bfloat16 or in float32, built if need be.

    None where the processor lacks the instructions, and, with one warning that says why, where it cannot be built.
    """
    instructions = set(_instructions().split())
    if not has_products(instructions, bfloat16=bfloat16):
        return None
    try:
        library = load(build(cache_folder(), *([] if bfloat16 else [FLOAT32_FLAG])))
        if bfloat16 and "amx_bf16" in instructions and not library.pitaya_has_tiles():
            raise NativeBuildError("the compiler does not know the tiles of AMX, as GCC 11 and Clang 12 do")
        return library
    except NativeBuildError as error:
        warnings.warn(f"networks run as plain PyTorch, more slowly: {error}", RuntimeWarning, stacklevel=2)
        return None


def has_products(instructions: set[str], *, bfloat16: bool) -> bool:
    """Whether there are products for a processor of these flags, named as Linux does."""
    if bfloat16:
        return bool({"amx_bf16", "avx512_bf16"} & instructions)
    return "avx512f" in instructions or {"avx2", "fma"} <= instructions


def cache_folder() -> Path:
    """Where the library is kept: `pitaya` within XDG_CACHE_HOME, ~/.cache if that is not set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pitaya"


def build(folder: Path, *flags: str) -> Path:
    """The library for these sources, this compiler with `flags` and this processor, within `folder`.

    Raises:
        NativeBuildError: If there is no compiler, or it does not take the sources, or `folder` cannot be written to.
    """
    compiler = _compiler()
    library = folder / f"networks-{_identity(compiler, flags)}.so"
    if library.is_file():
        return library
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            fresh = Path(scratch) / library.name
            _compile([compiler, *FLAGS, *flags], fresh)
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


@lru_cache
def openmp_parallel() -> int | None:
    """Address of GOMP_parallel in the OpenMP that PyTorch has loaded, GNU's or LLVM's; None if there is none."""
    try:
        mapped = _MAPPED_FILES.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    paths = {line.split(maxsplit=5)[5] for line in mapped if "/" in line}
    for path in sorted(paths):
        if Path(path).name.startswith(("libgomp", "libomp", "libiomp5")):
            try:
                return ctypes.cast(ctypes.CDLL(path).GOMP_parallel, ctypes.c_void_p).value
            except (OSError, AttributeError):
                continue
    return None


def _compiler() -> str:
    names = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    for name in names:
        if name and (found := shutil.which(name)):
            return found
    raise NativeBuildError("no C++ compiler, neither $CXX nor c++, g++ or clang++")


def _identity(compiler: str, flags: Sequence[str]) -> str:
    """Changes with whatever changes the library: sources, flags, compiler, instructions of the processor."""
    known = hashlib.sha256(" ".join((*FLAGS, *flags)).encode())
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


def _compile(compiler_and_flags: Sequence[str], library: Path) -> None:
    compiler, command = compiler_and_flags[0], [*compiler_and_flags, str(MAIN_SOURCE), "-o", str(library)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
    except subprocess.CalledProcessError as error:
        reason = next((line for line in error.stderr.splitlines() if "error" in line), error.stderr[:200])
        raise NativeBuildError(f"{compiler} does not take {MAIN_SOURCE.name}: {reason}") from error
    except subprocess.TimeoutExpired as error:
        raise NativeBuildError(f"{compiler} did not finish within {BUILD_TIMEOUT_S:g} s") from error
