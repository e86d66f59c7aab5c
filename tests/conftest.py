# SPDX-License-Identifier: Apache-2.0
"""Fixtures that every part of the tests may ask for."""

import fcntl
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Networks in tests are tiny: a second thread only waits for the first, for ever on a loaded machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Domains above 101 map to ports in the range that Linux hands out to anybody; 0 is where people work.
ROS_DOMAINS = range(1, 102)


# Folders whose tests start processes, or answer in real time.
PROCESSES = {"faults", "hardware", "packaging", "ros"}
POLITE = 10
WORKER = "PYTEST_XDIST_WORKER"

_STRIDE = 7
_asked = itertools.count()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where workers share the tests, one of them has all that start processes: two graphs at once are too slow."""
    if WORKER not in os.environ:
        return
    for item in items:
        if _starts_processes(item):
            item.add_marker(pytest.mark.xdist_group("processes"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """The other workers' tests, which only compute, make way for processes that have to answer in time."""
    if WORKER in os.environ and not _starts_processes(item):
        os.setpriority(os.PRIO_PROCESS, 0, max(POLITE, os.getpriority(os.PRIO_PROCESS, 0)))


def _starts_processes(item: pytest.Item) -> bool:
    return not PROCESSES.isdisjoint(item.path.relative_to(Path(__file__).parent).parts)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Top folder of the checkout."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture
def ros_domain_id(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """ROS domain that no other test on this machine uses at the same time, nor did shortly before.

    What an earlier test of this process left behind, a context that Python has not collected yet, is not heard.
    The claim is a lock on a file: it ends with the process that holds it, however that process ends.
    """
    folder = Path(tempfile.gettempdir()) / f"pitaya-ros-domains-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    # Test runs side by side seldom start at the same domain.
    first = os.getpid() + _STRIDE * next(_asked)
    for offset in range(len(ROS_DOMAINS)):
        domain = ROS_DOMAINS[(first + offset) % len(ROS_DOMAINS)]
        claim = os.open(folder / str(domain), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(claim)
            continue
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        try:
            yield domain
        finally:
            os.close(claim)
        return
    raise RuntimeError(
        f"all {len(ROS_DOMAINS)} ROS domains are claimed in {folder}; are old test runs still alive?"
    )
