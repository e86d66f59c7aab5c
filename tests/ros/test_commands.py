# SPDX-License-Identifier: Apache-2.0
"""The commands `pitaya up`, `adapt` and `demo` as a user runs them, and how they end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE_S = 60.0
PITAYA = [sys.executable, "-c", "from meta_rl_core.cli.main import run; run()"]


@pytest.fixture
def marker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """Something in the environment of all processes that a command starts, by which they are found."""
    value = f"pitaya-test-{tmp_path}"
    monkeypatch.setenv("PITAYA_TEST_MARKER", value)
    yield value
    for pid in alive(value):
        os.kill(pid, signal.SIGKILL)


def alive(marker: str) -> list[int]:
    """Processes that carry the marker, besides this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, IndexError):
            continue
        if marker.encode() in environment and state != "Z" and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


def until(condition: object, patience_s: float = PATIENCE_S) -> None:
    """Waits for a condition with a deadline."""
    end_s = time.monotonic() + patience_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end_s, "not in time"
        time.sleep(0.02)


def start(*words: str, log: Path, **options: object) -> subprocess.Popen[bytes]:
    # A child of pytest's may ignore SIGINT; a command at a terminal does not.
    with log.open("wb") as file:
        return subprocess.Popen(
            [*PITAYA, *words],
            stdout=file,
            stderr=subprocess.STDOUT,
            restore_signals=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            **options,  # type: ignore[arg-type]
        )


def test_a_demo_leaves_plot_recording_and_summary_and_its_status_says_whether_it_adapted(
    bundle: Path, tmp_path: Path, marker: str
) -> None:
    log, out = tmp_path / "log", tmp_path / "run"
    demo = start("demo", "--bundle", str(bundle), "--out", str(out), "--episodes", "2", log=log)
    status = demo.wait(120)
    text = log.read_text()
    summary = json.loads((out / "summary.json").read_text())
    assert status == (0 if summary["adapted"] else 1), text
    assert len(summary["returns"]) == len(summary["final_errors"]) == len(summary["episodes"]) == 2
    assert summary["adapted"] == summary["successes"][-1]
    assert summary["belief"]["transitions"] == summary["accepted"] == 80
    assert summary["task"]["seed"] == summary["seeds"]["task"] == 7
    assert summary["task"]["family"] == "dclaw-turn"
    assert (out / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "recording" / "metadata.yaml").is_file()
    assert {path.stem for path in (out / "logs").glob("*_node.log")} == {
        "policy_node",
        "reward_node",
        "sim_node",
    }
    assert "episode" in text and "target_rad" in text
    assert alive(marker) == []


def test_the_shipped_policy_adapts_to_a_task_it_has_never_met(tmp_path: Path, marker: str) -> None:
    demo = start("demo", "--out", str(tmp_path / "run"), log=tmp_path / "log")
    assert demo.wait(120) == 0, (tmp_path / "log").read_text()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["adapted"]
    assert summary["successes"][-1]
    assert summary["final_errors"][-1] < 0.1 < summary["final_errors"][0]
    assert alive(marker) == []


def test_a_demo_of_a_policy_that_is_told_a_goal_says_so(tmp_path: Path, marker: str) -> None:
    from tests.helpers.bundles import make_random_bundle

    told = make_random_bundle(tmp_path / "told", family="dclaw-turn-dynamics").path
    out, log = tmp_path / "run", tmp_path / "log"
    words = ("--bundle", str(told), "--out", str(out), "--episodes", "1", "--explore", "0")
    assert start("demo", *words, log=log).wait(120) in (0, 1), log.read_text()
    summary = json.loads((out / "summary.json").read_text())
    assert summary["task"]["family"] == "dclaw-turn-dynamics"
    assert summary["task"]["goal"] == {"valve_joint": summary["task"]["values"]["target_rad"]}
    assert summary["belief"]["transitions"] == 40
    assert "is told the goal of valve_joint and not the rest of its task" in log.read_text()
    assert " rad" in log.read_text()
    assert alive(marker) == []


def test_a_demo_on_another_plant_draws_a_picture_too(tmp_path: Path, marker: str) -> None:
    from tests.helpers.bundles import make_random_bundle

    point = make_random_bundle(tmp_path / "point", family="point-robot").path
    out = tmp_path / "run"
    demo = start(
        "demo",
        "--bundle",
        str(point),
        "--plant",
        "point",
        "--out",
        str(out),
        "--episodes",
        "1",
        "--explore",
        "0",
        log=tmp_path / "log",
    )
    assert demo.wait(120) in (0, 1), (tmp_path / "log").read_text()
    assert (out / "plot.png").is_file()
    assert alive(marker) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process_and_keeps_its_recording(
    bundle: Path, tmp_path: Path, marker: str, number: signal.Signals
) -> None:
    log, out = tmp_path / "log", tmp_path / "run"
    demo = start("demo", "--bundle", str(bundle), "--out", str(out), "--episodes", "1000", log=log)
    until(lambda: " 5  " in log.read_text())
    demo.send_signal(number)
    assert demo.wait(30) == 130, log.read_text()
    assert alive(marker) == []
    summary = json.loads((out / "summary.json").read_text())
    assert summary["exit_reason"] == "interrupted"
    assert not summary["adapted"]
    assert len(summary["returns"]) >= 5
    assert (out / "recording" / "metadata.yaml").is_file()


def test_a_demo_interrupted_while_it_starts_leaves_no_process(
    bundle: Path, tmp_path: Path, marker: str
) -> None:
    log = tmp_path / "log"
    demo = start("demo", "--bundle", str(bundle), "--out", str(tmp_path / "run"), log=log)
    until(lambda: "nodes start" in log.read_text())
    demo.send_signal(signal.SIGINT)
    assert demo.wait(30) == 130, log.read_text()
    assert alive(marker) == []


def test_a_demo_whose_node_dies_says_so_and_ends(bundle: Path, tmp_path: Path, marker: str) -> None:
    log = tmp_path / "log"
    demo = start(
        "demo", "--bundle", str(bundle), "--out", str(tmp_path / "run"), "--episodes", "1000", log=log
    )
    until(lambda: " 2  " in log.read_text())
    (gate,) = [
        pid for pid in alive(marker) if b"/command_gate\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(gate, signal.SIGKILL)
    assert demo.wait(30) == 2
    assert "command_gate ended with status -9" in log.read_text()
    assert alive(marker) == []


def test_a_demo_without_its_bundle_ends_at_once_with_a_sentence(tmp_path: Path, marker: str) -> None:
    log = tmp_path / "log"
    demo = start("demo", "--bundle", str(tmp_path / "none"), "--out", str(tmp_path / "run"), log=log)
    assert demo.wait(30) == 2
    assert "there is no such directory" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_up_and_adapt_work_together_and_ctrl_c_ends_everything(
    bundle: Path, tmp_path: Path, marker: str, ros_domain_id: int
) -> None:
    log = tmp_path / "log"
    up = start("up", "dclaw_sim", f"bundle:={bundle}", f"journal:={tmp_path}", "task_seed:=3", log=log)
    until(lambda: "dclaw_sim is up" in log.read_text())
    adapt = start("adapt", "--episodes", "1", "--steps", "4", log=tmp_path / "adapt")
    assert adapt.wait(60) in (0, 1), (tmp_path / "adapt").read_text()
    assert "1 episodes" in (tmp_path / "adapt").read_text()
    up.send_signal(signal.SIGINT)
    assert up.wait(30) == 0
    assert alive(marker) == []


def test_killing_up_leaves_no_orphan(bundle: Path, tmp_path: Path, marker: str, ros_domain_id: int) -> None:
    log = tmp_path / "log"
    up = start("up", "dclaw_sim", f"bundle:={bundle}", f"journal:={tmp_path}", log=log)
    until(lambda: "dclaw_sim is up" in log.read_text())
    assert len(alive(marker)) == 5
    up.kill()
    up.wait()
    until(lambda: alive(marker) == [], patience_s=20.0)


def test_up_ends_with_an_error_when_a_node_refuses(tmp_path: Path, marker: str, ros_domain_id: int) -> None:
    log = tmp_path / "log"
    up = start("up", "dclaw_sim", f"bundle:={tmp_path / 'none'}", log=log)
    assert up.wait(60) == 2
    assert "there is no such directory" in log.read_text()
    assert "lifecycle_manager ended with status 1; everything is stopped" in log.read_text()
    assert alive(marker) == []


def test_interrupting_adapt_cancels_its_goal(
    bundle: Path, tmp_path: Path, marker: str, ros_domain_id: int
) -> None:
    log, adapt_log = tmp_path / "log", tmp_path / "adapt"
    up = start("up", "dclaw_sim", f"bundle:={bundle}", f"journal:={tmp_path}", log=log)
    until(lambda: "dclaw_sim is up" in log.read_text())
    adapt = start("adapt", "--episodes", "1000", log=adapt_log)
    until(lambda: " 2  " in adapt_log.read_text())
    adapt.send_signal(signal.SIGINT)
    assert adapt.wait(30) == 130
    until(lambda: "goal ended: stopped after" in log.read_text())
    assert "the client cancelled the goal" in log.read_text()
    up.send_signal(signal.SIGTERM)
    assert up.wait(30) == 0
    assert alive(marker) == []


def test_adapt_says_what_is_wrong_when_nobody_answers(tmp_path: Path, ros_domain_id: int) -> None:
    log = tmp_path / "log"
    adapt = start("adapt", log=log)
    assert adapt.wait(60) == 2
    assert "policy_node did not answer within 10 s: is it running and active" in log.read_text()


def test_a_policy_that_is_killed_comes_back_ready_and_stays_down_after_the_fourth_time(
    bundle: Path, tmp_path: Path, marker: str, ros_domain_id: int
) -> None:
    log = tmp_path / "log"
    up = start("up", "dclaw_sim", f"bundle:={bundle}", f"journal:={tmp_path}", log=log)
    until(lambda: "dclaw_sim is up" in log.read_text())
    for restarts in range(1, 4):
        os.kill(pid_of(marker, "policy_node"), signal.SIGKILL)
        until(lambda count=restarts: log.read_text().count("dclaw_sim is up: policy_node\n") == count)
    os.kill(pid_of(marker, "policy_node"), signal.SIGKILL)
    until(lambda: "policy_node died 4 times within 60 s and stays down" in log.read_text())
    assert {name for name in ("sim_node", "command_gate", "reward_node") if pid_of(marker, name)}
    up.send_signal(signal.SIGINT)
    assert up.wait(30) == 1
    assert alive(marker) == []


def pid_of(marker: str, name: str) -> int:
    words = f"/{name}\0".encode()
    (pid,) = [pid for pid in alive(marker) if words in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return pid


def test_show_args_lists_what_can_be_set(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert start("up", "dclaw_sim", "--show-args", log=log).wait(30) == 0
    assert "mode:=lock_step (lock_step, real_time)" in log.read_text()
