# SPDX-License-Identifier: Apache-2.0
"""Rows 10 and 11: belief files and journals are written while the writer is killed or the disk has no room."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.journal_kills import kill_writers
from meta_rl_core.errors import PitayaError
from meta_rl_core.runtime.state_file import read_state_file, write_state
from tests.faults.tally import Tally

_LIBC = ctypes.CDLL(None, use_errno=True)
_LONGEST_WRITE_S = 0.02
_NUMBERS = 400
_DISK = b"size=64k,nr_inodes=64"


def kill_while_writing(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 10: a child replaces one file over and over and is killed at a random moment."""
    tally, path = Tally(), folder / "belief.json"
    count, read = 0, 0
    write_state(path, _state(0))
    for index in range(cases):
        progress_in, progress_out = os.pipe()
        child = os.fork()
        if child == 0:
            _write_for_ever(path, count, progress_out)
        os.close(progress_out)
        # It has written once when the kill comes, so that kills hit writes and not the start of Python.
        os.read(progress_in, 1)
        time.sleep(float(generator.uniform(0.0, _LONGEST_WRITE_S)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(progress_in)
        try:
            count, read = _count(path), read + 1
            tally.case()
        except (PitayaError, ValueError) as error:
            tally.case(f"kill {index}: {error}")
            write_state(path, _state(count))
    write_state(path, _state(count + 1))
    left = sum(1 for name in os.listdir(folder) if name.startswith(".belief"))
    tally.measured = {"files replaced in all": count}
    tally.demand(not left, f"{left} temporary files of killed writers are still there after the next write")
    tally.demand(
        count > cases // 4, f"only {count} files were written in {cases} cases, so kills hit nothing"
    )
    return tally


def _write_for_ever(path: Path, count: int, progress: int) -> None:
    try:
        while True:
            count += 1
            write_state(path, _state(count))
            os.write(progress, b"!")
    finally:
        os._exit(1)


def _state(count: int) -> dict[str, object]:
    """A state that says whether it is whole: every number follows from the first."""
    return {"count": count, "numbers": [count + 0.5 * i for i in range(_NUMBERS)]}


def _count(path: Path) -> int:
    """The count in a file.

    Raises:
        PitayaError: If it cannot be read.
        ValueError: If it is not one that was written.
    """
    state = read_state_file(path)
    count = int(state["count"])
    if state != _state(count):
        raise ValueError(f"{path.name} holds a mixture of states")
    return count


def killed_writer(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 10 b: each case kills a process that writes 500 transitions per second; the next one reads."""
    found = kill_writers(folder, cases, int(generator.integers(2**31)))
    tally = Tally(cases=cases, failures=found["unreadable"] + found["differing"])
    if tally.failures:
        tally.complaints.append(
            f"{found['unreadable']} unreadable, {found['differing']} differ from what was written"
        )
    tally.demand(
        found["most_lost_s"] <= 1.0, f"{found['most_lost_s']} s of transitions were lost, allowed 1 s"
    )
    tally.measured = {
        "transitions": found["transitions"],
        f"most transitions lost, one every {1e3 * found['period_s']:g} ms": found["most_lost"],
    }
    return tally


def no_room(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 11: the write fails part of the way, at a random place, in one of three ways."""
    tally, refused = Tally(), 0
    ways: list[Callable[[Path, int], contextlib.AbstractContextManager[None]]] = [_file_size_limit]
    disk = folder / "disk"
    disk.mkdir()
    mounted = _LIBC.mount(b"tmpfs", str(disk).encode(), b"tmpfs", 0, _DISK) == 0
    if mounted:
        ways += [_full_disk, _read_only_disk]
    try:
        size = len(str(_state(10**6)))
        for index in range(cases):
            way = ways[index % len(ways)]
            place = disk if way is not _file_size_limit else folder
            path = place / "belief.json"
            write_state(path, _state(index))
            started_s = time.monotonic()
            with way(place, int(generator.integers(0, size // 2))):
                said = _refusal(path, index + 1)
            took_s = time.monotonic() - started_s
            refused += bool(said)
            tally.case(_complaint(path, index, said, way.__name__), latency_s=took_s)
    finally:
        if mounted:
            _LIBC.umount2(str(disk).encode(), 2)
    tally.measured = {
        "writes refused with a reason": refused,
        "kinds of fault": ", ".join(w.__name__[1:] for w in ways),
    }
    return tally


def _refusal(path: Path, count: int) -> str:
    try:
        write_state(path, _state(count))
    except PitayaError as error:
        return str(error)
    return ""


def _complaint(path: Path, index: int, said: str, way: str) -> str:
    where = f"case {index}, {way[1:]}"
    try:
        count = _count(path)
    except (PitayaError, ValueError) as error:
        return f"{where}: {error}"
    # A write that fitted after all is fine; one that was refused must have left the old file.
    if count != (index if said else index + 1):
        return f"{where}: the file holds state {count}, {'refused' if said else 'not refused'}"
    left = [name for name in os.listdir(path.parent) if name.startswith(".belief")]
    return f"{where}: left behind {left}" if left else ""


@contextlib.contextmanager
def _file_size_limit(_: Path, room: int) -> Iterator[None]:
    """No file may grow beyond `room` bytes, as with a quota."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
        signal.signal(signal.SIGXFSZ, handler)


@contextlib.contextmanager
def _full_disk(disk: Path, room: int) -> Iterator[None]:
    """A disk with at most `room` bytes left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    if filler.stat().st_size > room:
        os.truncate(filler, filler.stat().st_size - room)
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def _read_only_disk(disk: Path, _: int) -> Iterator[None]:
    """A disk that was mounted read-only, as after an error."""
    remount, read_only = 32, 1
    if _LIBC.mount(b"tmpfs", str(disk).encode(), b"tmpfs", remount | read_only, _DISK):
        raise OSError(ctypes.get_errno(), "the disk could not be made read-only")
    try:
        yield
    finally:
        _LIBC.mount(b"tmpfs", str(disk).encode(), b"tmpfs", remount, _DISK)
