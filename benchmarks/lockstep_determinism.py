# SPDX-License-Identifier: Apache-2.0
"""The same seed twice: states, executed commands and beliefs of the whole graph, compared byte by byte.

Two graphs run one after the other, each in processes of its own; what they sent over DDS is recorded and compared.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rosbags.rosbag2 import Reader

from benchmarks.report import write_report
from pitaya_nodes.demo_run import DemoOutcome, DemoSettings, run_demo
from pitaya_nodes.interrupts import Interrupts

COMPARED = ("/joint_states", "/executed_command", "/policy_node/belief")


def run_twice(settings: DemoSettings) -> dict[str, Any]:
    """Runs the same goal in two graphs and compares what they sent.

    Args:
        settings: What to run; its folder is not used.
    """
    logs, took_s = [], []
    for _ in range(2):
        started_s = time.monotonic()
        logs.append(run_once(settings))
        took_s.append(time.monotonic() - started_s)
    first, second = logs
    return {
        "benchmark": "lockstep_determinism",
        "steps": settings.episodes * settings.steps,
        "episodes": settings.episodes,
        "identical": first == second,
        "messages": {topic: len(first[topic]) for topic in COMPARED},
        "sha256": {topic: digest(first[topic]) for topic in COMPARED},
        "first_difference": {topic: _first_difference(first[topic], second[topic]) for topic in COMPARED},
        "seconds": [round(seconds, 2) for seconds in took_s],
    }


def run_once(settings: DemoSettings) -> dict[str, list[bytes]]:
    """What a graph of its own sent, by topic; the settings' folder is not used."""
    outcome = DemoOutcome()
    with tempfile.TemporaryDirectory() as folder, Interrupts() as interrupts:
        inside = replace(settings, folder=Path(folder))
        run_demo(inside, interrupts, outcome, lambda _: None, lambda _: None)
        return read_log(inside.recording)


def read_log(recording: Path) -> dict[str, list[bytes]]:
    """Serialized messages by topic; a state that was shown again, and its answer, count once."""
    log: dict[str, dict[bytes, None]] = {topic: {} for topic in COMPARED}
    with Reader(recording) as reader:
        for connection, _, data in reader.messages():
            if connection.topic in log:
                log[connection.topic].setdefault(bytes(data))
    return {topic: list(messages) for topic, messages in log.items()}


def digest(messages: list[bytes]) -> str:
    """SHA-256 of messages, with their lengths."""
    found = hashlib.sha256()
    for message in messages:
        found.update(len(message).to_bytes(8, "little"))
        found.update(message)
    return found.hexdigest()


def _first_difference(first: list[bytes], second: list[bytes]) -> int | None:
    for index, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return index
    return None if len(first) == len(second) else min(len(first), len(second))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; status 0 if both runs are byte-identical."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lockstep_determinism", description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the report; printed if absent")
    parser.add_argument("--bundle", type=Path, default=Path("policies/dclaw-turn"), help="policy bundle")
    parser.add_argument("--episodes", type=int, default=250, help="episodes per run")
    parser.add_argument("--steps", type=int, default=40, help="steps per episode")
    options = parser.parse_args(arguments)
    settings = DemoSettings(
        bundle=options.bundle.absolute(),
        plant="dclaw",
        family="",
        task_seed=7,
        seed=0,
        episodes=options.episodes,
        steps=options.steps,
        exploration_episodes=2,
        real_time=False,
        folder=Path(),
    )
    results = run_twice(settings)
    write_report(options.json, results)
    print(f"{results['steps']} steps twice: {'identical' if results['identical'] else 'DIFFERENT'}")
    return 0 if results["identical"] else 1


if __name__ == "__main__":
    sys.exit(main())
