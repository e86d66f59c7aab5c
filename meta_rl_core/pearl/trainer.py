# SPDX-License-Identifier: Apache-2.0
"""The meta-training loop: collect, update, evaluate, log, checkpoint."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save_file

from meta_rl_core.errors import CheckpointError, TrainingDivergedError
from meta_rl_core.pearl.checkpoint import load_checkpoint, save_checkpoint
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.distillation import Distillation
from meta_rl_core.pearl.evaluation import Evaluation, evaluate
from meta_rl_core.pearl.family_check import check_family
from meta_rl_core.pearl.learner import Learner
from meta_rl_core.pearl.logs import RunLog, distillation_line, pace_line, progress_bar
from meta_rl_core.pearl.rollout import Explorer
from meta_rl_core.tasks import TaskFamily

EVALUATION_STREAM = 0x5EED
COMMAND_FILE = "command.txt"
"""The command line that started the run; a bundle's provenance quotes it."""


class Trainer:
    """One run in one directory."""

    def __init__(
        self,
        family: TaskFamily,
        config: PearlConfig,
        directory: Path,
        *,
        resume: bool = False,
        device: str = "cpu",
        checkpoint_every_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepares the run directory and, with `resume`, goes back to its checkpoint.

        Raises:
            CheckpointError: If the directory holds a run and `resume` is off, or cannot be resumed.
            ContractError: If the family breaks its contract.
        """
        check_family(family)
        self.config = config
        self.directory = directory
        self.learner = Learner(family, config, device)
        self._evaluator = Explorer(family, self.learner.averaged)
        self.checkpoint_every_s = checkpoint_every_s
        self._clock = clock
        self.progress: dict[str, Any] = {"iteration": 0, "wall_s": 0.0, "best": None, "distilled": False}
        if resume:
            self.progress |= load_checkpoint(self.learner, directory / "checkpoint")
        elif (directory / "progress.csv").exists():
            raise CheckpointError(
                f"{directory} already holds a run; pass --resume to go on with it or choose another --out"
            )
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.yaml").write_text(yaml.safe_dump(_plain(config.to_dict()), sort_keys=False))
        self._log = RunLog(directory, resume_at_updates=self.learner.updates)
        self._resumed_at = clock()
        self._last_checkpoint = clock()
        self._started_at, self._share_at_start = clock(), self.learner.share_done()

    def run(self) -> None:
        """Trains to the configured number of iterations or environment steps; Ctrl-C saves and ends cleanly.

        Raises:
            TrainingDivergedError: Naming the loss that was not finite; the last checkpoint is kept.
        """
        config, learner = self.config, self.learner
        with progress_bar() as bar:
            task = bar.add_task(
                config.family, total=1000, completed=round(1000 * learner.share_done()), pace="", scores=""
            )
            try:
                if self.progress["iteration"] == 0:
                    learner.collect_initial()
                while not self._is_finished():
                    learner.collect()
                    losses, pace = self._learn_and_time()
                    self.progress["iteration"] += 1
                    bar.update(task, completed=round(1000 * learner.share_done()), pace=pace)
                    if self.progress["iteration"] % config.evaluation.every_iterations == 0:
                        scores = self._evaluate(losses)
                        bar.update(task, scores=scores)
                        if not bar.console.is_terminal:
                            bar.console.print(f"{pace}  {scores}")
                    if self._clock() - self._last_checkpoint > self.checkpoint_every_s:
                        self.save()
                if config.distillation_updates and not self.progress["distilled"]:
                    self.save()

                    def show(pace: str) -> None:
                        bar.update(task, pace=pace)
                        if not bar.console.is_terminal:
                            bar.console.print(pace)

                    bar.console.print(self._distil(show))
            except KeyboardInterrupt:
                bar.console.print(
                    "interrupted; going back to it with --resume loses nothing since the last iteration"
                )
            self.save()
        self._log.close()

    def _is_finished(self) -> bool:
        budget = self.config.environment_steps
        if budget is not None:
            return self.learner.env_steps >= budget
        return bool(self.progress["iteration"] >= self.config.iterations)

    def _learn_and_time(self) -> tuple[dict[str, float], str]:
        """One iteration's updates and how the run is getting on: steps, updates per second, time left."""
        started = self._clock()
        losses = self._learn()
        rate = self.config.updates_per_iteration / max(self._clock() - started, 1e-9)
        done = self.learner.share_done()
        per_share_min = (self._clock() - self._started_at) / 60.0 / max(done - self._share_at_start, 1e-9)
        return losses, pace_line(self.learner.env_steps, rate, per_share_min * (1.0 - done))

    def save(self) -> None:
        """Writes the checkpoint."""
        self.progress["wall_s"] = self._wall_s()
        self._resumed_at = self._last_checkpoint = self._clock()
        save_checkpoint(self.learner, self.directory / "checkpoint", self.progress)

    def _wall_s(self) -> float:
        return float(self.progress["wall_s"] + self._clock() - self._resumed_at)

    def _learn(self) -> dict[str, float]:
        sums: dict[str, torch.Tensor] = {}
        counts: dict[str, int] = {}
        for _ in range(self.config.updates_per_iteration):
            for name, value in self.learner.learn_once().items():
                sums[name] = sums.get(name, torch.zeros(())) + value
                counts[name] = counts.get(name, 0) + 1
        means = {name: float(total) / counts[name] for name, total in sums.items()}
        _require_finite(means, self.learner.updates, self.directory)
        return means

    def _distil(self, show: Callable[[str], None]) -> str:
        """The last phase, told on every tenth; interrupted, it begins anew from the checkpoint before it."""
        learner, total = self.learner, self.config.distillation_updates
        distillation = Distillation(learner)
        started = self._clock()
        for done in range(1, total + 1):
            losses = distillation.step()
            if done % max(1, total // 10) == 0 or done == total:
                plain = {name: float(value) for name, value in losses.items()}
                _require_finite(plain, learner.updates, self.directory)
                show(distillation_line(done, total, self._clock() - started, plain["imitation_loss"]))
        learner.averaged.load_state_dict(distillation.averaged.state_dict())
        self.progress["distilled"] = True
        return self._evaluate({})

    def _evaluate(self, losses: dict[str, float]) -> str:
        config, learner = self.config.evaluation, self.learner
        generator = np.random.Generator(np.random.PCG64([config.seed, EVALUATION_STREAM]))
        tasks = learner.family.heldout_tasks(config.tasks, config.seed)
        result = evaluate(
            self._evaluator,
            tasks,
            episodes=config.episodes,
            exploration_episodes=config.exploration_episodes,
            generator=generator,
        )
        scores = _scores(result)
        self._log.add(
            {
                "iteration": self.progress["iteration"],
                "env_steps": learner.env_steps,
                "updates": learner.updates,
                "wall_s": self._wall_s(),
                **scores,
                **dict(sorted(losses.items())),
            }
        )
        self._keep_best(scores)
        return (
            f"return {scores['return_first']:.1f} -> {scores['return_adapted']:.1f}  "
            f"solved {scores['success_first']:.2f} -> {scores['success_adapted']:.2f}"
        )

    def _keep_best(self, scores: dict[str, float]) -> None:
        sparse = self.learner.family.spec.context_reward == "sparse"
        main = scores["sparse_adapted" if sparse else "return_adapted"]
        rank = [scores["success_adapted"], main]
        if self.progress["best"] is None or rank >= self.progress["best"]["rank"]:
            self.progress["best"] = {"rank": rank, "iteration": self.progress["iteration"], "scores": scores}
            best = self.directory / "best"
            best.mkdir(exist_ok=True)
            save_file(
                {name: value.clone() for name, value in self.learner.averaged.state_dict().items()},
                best / "agent.safetensors",
            )
            counters = {"env_steps": self.learner.env_steps, "updates": self.learner.updates}
            (best / "scores.json").write_text(json.dumps({**counters, **self.progress["best"]}, indent=1))


def _require_finite(losses: dict[str, float], updates: int, directory: Path) -> None:
    broken = sorted(name for name, value in losses.items() if not math.isfinite(value))
    if broken:
        raise TrainingDivergedError(
            f"{', '.join(broken)} stopped being finite at update {updates}; the last good checkpoint is "
            f"{directory / 'checkpoint'}; lower the learning rate or the reward scale and resume"
        )


def _scores(result: Evaluation) -> dict[str, float]:
    columns = {
        "return": result.returns,
        "sparse": result.sparse_returns,
        "success": result.final_success,
        "error": result.final_error,
    }
    means = {}
    for name, values in columns.items():
        means[f"{name}_first"] = float(values[:, 0].mean())
        means[f"{name}_adapted"] = float(values[:, -1].mean())
    return means


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
