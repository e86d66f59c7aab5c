# SPDX-License-Identifier: Apache-2.0
"""What a node gets that goes ahead of others, and what it is told where that is not permitted."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import pytest

from pitaya_nodes.errors import RealtimeError
from pitaya_nodes.realtime import keep_awake, take_priority


def test_priority_reaches_every_thread_or_says_how_to_be_permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[int, tuple[int, int]] = {}

    def note(thread: int, policy: int, parameter: os.sched_param) -> None:
        told[thread] = (policy, parameter.sched_priority)

    monkeypatch.setattr(os, "sched_setscheduler", note)
    take_priority(0)
    assert told == {}
    waiting = threading.Event()
    other = threading.Thread(target=waiting.wait)
    other.start()
    take_priority(20)
    waiting.set()
    other.join()
    assert {threading.get_native_id(), other.native_id} <= set(told)
    assert set(told.values()) == {(os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, 20)}

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with pytest.raises(RealtimeError, match=r"rtprio 20.*or set realtime_priority to 0"):
        take_priority(20)


def open_files() -> set[str]:
    names = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            names.add(os.readlink(entry))
    return names


def test_processors_are_kept_awake_while_the_wish_is_open(tmp_path: Path) -> None:
    device = tmp_path / "cpu_dma_latency"
    device.touch()
    let_sleep, complaint = keep_awake(20, device)
    # A latency of 0 us, as a 32-bit number, for as long as the file is open.
    assert (complaint, device.read_bytes()) == ("", bytes(4))
    assert str(device) in open_files()
    let_sleep()
    assert str(device) not in open_files()


def test_without_a_priority_processors_may_sleep(tmp_path: Path) -> None:
    device = tmp_path / "cpu_dma_latency"
    device.touch()
    let_sleep, complaint = keep_awake(0, device)
    let_sleep()
    assert (complaint, device.read_bytes()) == ("", b"")


def test_it_is_told_why_processors_cannot_be_kept_awake(tmp_path: Path) -> None:
    device = tmp_path / "cpu_dma_latency"
    let_sleep, complaint = keep_awake(20, device)
    let_sleep()
    assert complaint.startswith(f"processors may sleep between messages: {device}: No such file")
