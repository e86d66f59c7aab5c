# SPDX-License-Identifier: Apache-2.0
"""A run that is interrupted anywhere and resumed is, to the bit, the run that never was."""

from __future__ import annotations

import csv
import functools
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from meta_rl_core.cli.main import main
from meta_rl_core.errors import CheckpointError, TrainingDivergedError
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.distillation import Distillation
from meta_rl_core.pearl.learner import Learner
from meta_rl_core.pearl.trainer import Trainer
from tests.helpers.small_runs import RELABELLED, small_config
from tests.helpers.toy_family import LineFamily

# Rings and books so small that places are used again within these runs: 30 transitions at first, 20 an iteration.
BOOKS = {"iterations": 4, "replay_capacity": 12}
RING = {**RELABELLED, "iterations": 4, "replay_capacity": 45, "averaging_rate": 0.1}
TAUGHT = {**RELABELLED, "iterations": 2, "privileged_share": 0.5, "distillation_updates": 5}
SETTINGS = {"books": BOOKS, "ring": RING, "taught": TAUGHT}


def config(name: str) -> PearlConfig:
    return small_config(**SETTINGS[name])


def rows(directory: Path) -> list[dict[str, str]]:
    with (directory / "progress.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "wall_s"} for row in csv.DictReader(file)]


def everything(learner: Learner) -> list[torch.Tensor]:
    """What a learner has learnt and what it will draw next, its replay included."""
    batch = [part for part in learner.make_batch() if part is not None]
    weights = [*learner.update.state_dict().values(), *learner.averaged.state_dict().values()]
    counters = [torch.tensor([learner.env_steps, learner.updates, learner.replay.store.total])]
    return [*weights, *counters, *batch, learner.torch_generator.get_state()]


@functools.cache
def whole(name: str, directory: Path) -> tuple[list[dict[str, str]], list[torch.Tensor]]:
    trainer = Trainer(LineFamily(), config(name), directory / name)
    trainer.run()
    return rows(directory / name), everything(trainer.learner)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


def interrupt_after(owner: Any, name: str, calls: int, *, first: Callable[[], None] = lambda: None) -> None:
    """Has Ctrl-C come when `owner.name` has done its work for the `calls`-th time."""
    done, work = 0, getattr(owner, name)

    def interrupted(*arguments: Any, **options: Any) -> Any:
        nonlocal done
        done += 1
        result = work(*arguments, **options)
        if done == calls:
            first()
            raise KeyboardInterrupt
        return result

    setattr(owner, name, interrupted)


def resumed_like_the_whole(name: str, directory: Path, folder: Path, point: tuple[int, bool]) -> None:
    trainer = Trainer(LineFamily(), config(name), directory, resume=True)
    assert (trainer.progress["iteration"], trainer.progress["distilled"]) == point
    trainer.run()
    expected_rows, expected = whole(name, folder)
    assert rows(directory) == expected_rows
    got = everything(trainer.learner)
    assert len(got) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


# What is interrupted, after how many calls, and the iteration whose end is saved. Collection rolls 1 batch of episodes
# before the first iteration and 2 in each, an evaluation 3; an iteration has 3 updates.
PHASES = {
    "first visits": (lambda trainer: trainer.learner.explorer, "episode", 1, 0),
    "collection": (lambda trainer: trainer.learner.explorer, "episode", 6, 2),
    "first update": (lambda trainer: trainer.learner.update, "step", 1, 0),
    "update": (lambda trainer: trainer.learner.update, "step", 11, 3),
    "evaluation": (lambda trainer: trainer._evaluator, "episode", 8, 3),
    "the row just written": (lambda trainer: trainer._log, "add", 3, 3),
    "keeping the best": (lambda trainer: trainer, "_keep_best", 4, 4),
}


@pytest.mark.parametrize("name", ["books", "ring"])
@pytest.mark.parametrize("phase", PHASES)
def test_an_interrupted_run_resumes_as_if_it_had_not_been(
    tmp_path: Path, folder: Path, name: str, phase: str
) -> None:
    owner, method, calls, iteration = PHASES[phase]
    trainer = Trainer(LineFamily(), config(name), tmp_path)
    interrupt_after(owner(trainer), method, calls)
    trainer.run()
    resumed_like_the_whole(name, tmp_path, folder, (iteration, False))


@pytest.mark.parametrize("name", ["books", "ring"])
def test_a_run_may_be_interrupted_again_and_again(tmp_path: Path, folder: Path, name: str) -> None:
    for again, calls in enumerate((5, 5, 5)):
        trainer = Trainer(LineFamily(), config(name), tmp_path, resume=again > 0)
        interrupt_after(trainer.learner.update, "step", calls)
        trainer.run()
    # Each attempt ends one whole iteration and is stopped in the next.
    resumed_like_the_whole(name, tmp_path, folder, (3, False))


@pytest.mark.parametrize("calls", [1, 3, 5])
def test_an_interrupt_in_the_last_phase_goes_on_within_it(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Distillation, "step", Distillation.step)
        interrupt_after(Distillation, "step", calls)
        Trainer(LineFamily(), config("taught"), tmp_path).run()
    whole("taught", folder)  # has steps of its own
    steps: list[int] = []
    with monkeypatch.context() as patch:
        step = Distillation.step
        patch.setattr(Distillation, "step", lambda self: (steps.append(self.done), step(self))[1])
        resumed_like_the_whole("taught", tmp_path, folder, (2, False))
    assert steps == list(range(calls - 1, 5))


def test_a_last_phase_without_its_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Distillation, "step", Distillation.step)
        interrupt_after(Distillation, "step", 3)
        Trainer(LineFamily(), config("taught"), tmp_path).run()
    (tmp_path / "checkpoint" / "distillation.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no usable .*distillation\.safetensors"):
        Trainer(LineFamily(), config("taught"), tmp_path, resume=True).run()


def test_an_interrupt_in_the_last_evaluation_keeps_what_the_last_phase_made(
    tmp_path: Path, folder: Path
) -> None:
    trainer = Trainer(LineFamily(), config("taught"), tmp_path)
    interrupt_after(trainer._evaluator, "episode", 11)
    trainer.run()
    resumed_like_the_whole("taught", tmp_path, folder, (2, True))
    assert [row["iteration"] for row in rows(tmp_path)] == ["1", "2", "2"]


@pytest.mark.parametrize("name", ["books", "ring"])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_an_interrupt_while_checkpoints_are_swapped_leaves_one_to_resume_from(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, step: int
) -> None:
    # The first one is renamed into its place; then the old one steps aside (2) for the new one (3), and so on.
    trainer = Trainer(LineFamily(), config(name), tmp_path, checkpoint_every_s=-1.0)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", Path.rename)
        interrupt_after(Path, "rename", step)
        trainer.run()
    resumed_like_the_whole(name, tmp_path, folder, (1 if step == 1 else 2, False))


def checkpoint_files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (directory / "checkpoint").iterdir()}


def spoil(learner: Learner) -> None:
    with torch.no_grad():
        learner.agent.actor.network.layers[0].weight.fill_(torch.nan)


def test_an_interrupt_after_weights_have_broken_saves_the_last_good_ones(
    tmp_path: Path, folder: Path
) -> None:
    trainer = Trainer(LineFamily(), config("books"), tmp_path)
    interrupt_after(trainer.learner, "learn_once", 9, first=lambda: spoil(trainer.learner))
    trainer.run()
    resumed_like_the_whole("books", tmp_path, folder, (2, False))


def test_weights_that_break_in_the_last_update_of_an_iteration_are_never_saved(tmp_path: Path) -> None:
    trainer = Trainer(LineFamily(), config("books"), tmp_path, checkpoint_every_s=-1.0)
    work, saved = trainer.learner.learn_once, {}

    def learn_once() -> dict[str, torch.Tensor]:
        losses = work()
        if trainer.learner.updates == 6:
            saved.update(checkpoint_files(tmp_path))
            spoil(trainer.learner)
        return losses

    trainer.learner.learn_once = learn_once  # type: ignore[method-assign]
    said = (
        "weights of agent.actor stopped being finite at update 6; the checkpoint from after iteration 1 stays"
    )
    with pytest.raises(TrainingDivergedError, match=said):
        trainer.run()
    assert checkpoint_files(tmp_path) == saved
    assert [row["iteration"] for row in rows(tmp_path)] == ["1"]


@pytest.fixture
def handlers() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


TINY = (
    *("train", "point-robot", "--preset", "paper", "--iterations", "3", "--set", "updates_per_iteration=2"),
    *("--set", "meta_batch=2", "--set", "batch_size=4"),
    *("--set", "evaluation={tasks: 2, episodes: 3, exploration_episodes: 1}"),
    *("--set", "collection={initial_prior_episodes: 1, tasks_per_iteration: 1}"),
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_iteration_before_and_says_where_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handlers: None, number: signal.Signals
) -> None:
    monkeypatch.setattr("meta_rl_core.cli.train.ONE_REQUEST_S", 0.0)
    work = Learner.learn_once

    def learn_once(learner: Learner) -> dict[str, torch.Tensor]:
        if learner.updates == 3:
            signal.raise_signal(number)
        return work(learner)

    monkeypatch.setattr(Learner, "learn_once", learn_once)
    result = CliRunner().invoke(main, [*TINY, "--out", str(tmp_path / "run")])
    assert result.exit_code == 130
    said = " ".join(result.output.split())
    assert "interrupted; saving, then --resume goes on after iteration 1. Ctrl-C again ends at once" in said
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == [signal.SIG_DFL] * 2
    monkeypatch.undo()
    assert CliRunner().invoke(main, [*TINY, "--out", str(tmp_path / "run"), "--resume"]).exit_code == 0
    assert [row["updates"] for row in rows(tmp_path / "run")] == ["2", "4", "6"]


STUCK = """
import sys
from meta_rl_core.cli.main import main
from meta_rl_core.pearl.checkpoint import CheckpointFolder
from meta_rl_core.pearl.learner import Learner

def collect(learner):
    print("collecting", flush=True)
    while True:
        pass

def write(folder, snapshot, store):
    print("writing", flush=True)
    while True:
        pass

Learner.collect, CheckpointFolder.write = collect, write
main(sys.argv[1:])
"""


def test_a_second_signal_ends_the_process_in_the_middle_of_saving(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STUCK, *TINY, "--out", str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for stage in ("collecting", "writing"):
                while stage not in (line := process.stdout.readline()):
                    assert line, f"the run ended before {stage}"
                process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60.0) == -signal.SIGINT
        finally:
            process.kill()


def test_a_folder_with_a_checkpoint_and_no_scores_yet_is_not_overwritten(tmp_path: Path) -> None:
    trainer = Trainer(LineFamily(), config("books"), tmp_path)
    interrupt_after(trainer.learner.update, "step", 1)
    trainer.run()
    assert not (tmp_path / "progress.csv").exists()
    with pytest.raises(CheckpointError, match="already holds a run; pass --resume"):
        Trainer(LineFamily(), config("books"), tmp_path)
