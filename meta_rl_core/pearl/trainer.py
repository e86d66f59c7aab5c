# SPDX-License-Identifier: Apache-2.0
"""The meta-training loop: collect, update, evaluate, log, checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from meta_rl_core.errors import CheckpointError, TrainingDivergedError
from meta_rl_core.pearl.best_policy import rank, save_best
from meta_rl_core.pearl.checkpoint import CheckpointFolder
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.distillation import Distillation
from meta_rl_core.pearl.family_check import check_family
from meta_rl_core.pearl.learner import Learner
from meta_rl_core.pearl.logs import Display, RunLog, distillation_line, pace_line
from meta_rl_core.pearl.planned_evaluation import planned_scores
from meta_rl_core.pearl.rollout import Explorer
from meta_rl_core.pearl.snapshot import Snapshot, not_finite, take_snapshot
from meta_rl_core.tasks import TaskFamily

BEGINNING: dict[str, Any] = {
    "iteration": 0,
    "wall_s": 0.0,
    "best": None,
    "distilled": False,
    "distillation_done": 0,
    "collected": False,  # whether every training task has been visited once
    "unevaluated": None,  # losses of the iteration whose scores are still to be found
    "rows": None,  # how many rows of progress.csv belong to this moment
}
"""What a checkpoint knows of the loop; those made before a key came to be do not hold it."""


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
        self.progress: dict[str, Any] = {**BEGINNING}
        self._checkpoint = CheckpointFolder(directory / "checkpoint")
        self._boundary: Snapshot | None = None
        self._saved: Snapshot | None = None
        self._saved_point = ""
        if resume:
            self.progress |= self._checkpoint.read(self.learner)
            self._saved_point = _point(self.progress)
        elif (directory / "progress.csv").exists() or self._checkpoint.exists():
            raise CheckpointError(
                f"{directory} already holds a run; pass --resume to go on with it or choose another --out"
            )
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.yaml").write_text(yaml.safe_dump(_plain(config.to_dict()), sort_keys=False))
        self._log = RunLog(
            directory,
            resume_at_updates=self.learner.updates if resume else None,
            resume_at_rows=self.progress["rows"],
        )
        self._resumed_at = clock()
        self._last_checkpoint = clock()
        self._started_at, self._share_at_start = clock(), self.learner.share_done()

    def run(self) -> bool:
        """Trains to the configured number of iterations or environment steps; Ctrl-C saves and ends cleanly.

        What an interrupt saves is the last boundary: the end of the initial collection, of an iteration's updates or
        of an evaluation. From there the run goes on with the very same numbers. Gives whether the run is complete.

        Raises:
            TrainingDivergedError: Naming the loss or network that was not finite; the last checkpoint is kept.
        """
        complete = True
        with Display(self.config.family, self.learner.share_done(), self._clock) as display:
            try:
                self._reach_boundary()
                if self._saved_point:  # it is what was resumed from
                    self._saved = self._boundary
                self._train(display)
            except KeyboardInterrupt:
                display.tell(self._interrupted())
                complete = False
        self.save()
        self._log.close()
        return complete

    def _train(self, display: Display) -> None:
        if self.progress["iteration"] == 0 and not self.progress["collected"]:
            self.learner.collect_initial()
            self.progress["collected"] = True
            self._reach_boundary()
        self._evaluate_if_due(display)
        while not self._is_finished():
            self._iterate(display)
            self._evaluate_if_due(display)
            self._save_if_due()
        if self.config.distillation_updates and not self.progress["distilled"]:
            self.save()
            self._distil(display)
            self._evaluate_if_due(display)

    def _iterate(self, display: Display) -> None:
        self.learner.collect()
        losses, pace = self._learn_and_time()
        self.progress["iteration"] += 1
        if self.progress["iteration"] % self.config.evaluation.every_iterations == 0 or self._is_finished():
            self.progress["unevaluated"] = losses
        self._reach_boundary()
        display.show_iteration(pace, self.learner.share_done())

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

    def _reach_boundary(self, distillation: Mapping[str, torch.Tensor] | None = None) -> None:
        """Makes this moment the one that is saved, `distillation` being the state of a last phase that is half done.

        Raises:
            TrainingDivergedError: If weights are not finite; what was saved before stays.
        """
        if broken := not_finite(self.learner, distillation):
            raise self._diverged(", ".join(broken))
        self.progress["wall_s"] = self._wall_s()
        self._resumed_at = self._clock()
        self.progress["rows"] = self._log.rows
        self._boundary = take_snapshot(self.learner, self.progress, distillation)

    def _save_if_due(self) -> None:
        if self._clock() - self._last_checkpoint > self.checkpoint_every_s:
            self.save()

    def save(self) -> None:
        """Writes the last boundary as the checkpoint, if it is not there yet."""
        boundary = self._boundary
        self._last_checkpoint = self._clock()
        if boundary is not None and boundary is not self._saved:
            self._checkpoint.write(boundary, self.learner.replay.store)
            self._saved, self._saved_point = boundary, _point(boundary.state["progress"])

    def _interrupted(self) -> str:
        saved = f"--resume goes on {self._saved_point}" if self._saved_point else "nothing is saved yet"
        if self._boundary is None or self._boundary is self._saved:
            return f"interrupted; {saved}"
        return (
            f"interrupted; saving, then --resume goes on {_point(self._boundary.state['progress'])}. Ctrl-C again ends "
            f"at once without saving ({saved})"
        )

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
        self._require_finite(means)
        return means

    def _distil(self, display: Display) -> None:
        """The last phase, told on every tenth, from where an interrupted one goes on."""
        learner, total = self.learner, self.config.distillation_updates
        distillation = Distillation(learner)
        if self.progress["distillation_done"]:
            distillation.restore(self._checkpoint.read_distillation(), self.progress["distillation_done"])
        started, before = self._clock(), distillation.done
        for done in range(before + 1, total + 1):
            losses = distillation.step()
            if done % max(1, total // 10) == 0 or done == total:
                plain = {name: float(value) for name, value in losses.items()}
                self._require_finite(plain)
                rate = (done - before) / max(self._clock() - started, 1e-9)
                pace = distillation_line(done, total, rate, plain["imitation_loss"])
                display.show(pace)
                display.tell_without_terminal(pace)
                self.progress["distillation_done"] = done
                self._reach_boundary(distillation.state())
                self._save_if_due()
        learner.averaged.load_state_dict(distillation.averaged.state_dict())
        self.progress |= {"distilled": True, "unevaluated": {}}
        self._reach_boundary()
        display.show("distilled")

    def _evaluate_if_due(self, display: Display) -> None:
        """One row of scores; a run that was interrupted here begins with it."""
        losses = self.progress["unevaluated"]
        if losses is None:
            return
        scores = self._evaluate(losses)
        self.progress["unevaluated"] = None
        self._reach_boundary()
        display.show_scores(scores)

    def _evaluate(self, losses: dict[str, float]) -> str:
        learner = self.learner
        scores = planned_scores(self._evaluator, self.config.evaluation, self.learner.replay_contexts)
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
        reached = rank(scores, self.learner.family.spec)
        if self.progress["best"] is None or reached >= self.progress["best"]["rank"]:
            self.progress["best"] = {
                "rank": reached,
                "iteration": self.progress["iteration"],
                "scores": scores,
            }
            counters = {"env_steps": self.learner.env_steps, "updates": self.learner.updates}
            save_best(self.learner.averaged, self.directory / "best", {**counters, **self.progress["best"]})

    def _require_finite(self, losses: dict[str, float]) -> None:
        broken = sorted(name for name, value in losses.items() if not math.isfinite(value))
        if broken:
            raise self._diverged(", ".join(broken))

    def _diverged(self, what: str) -> TrainingDivergedError:
        saved = self._saved_point
        kept = (
            f"the checkpoint from {saved.removeprefix('from ')} stays"
            if saved
            else "nothing was saved before"
        )
        return TrainingDivergedError(
            f"{what} stopped being finite at update {self.learner.updates}; {kept}. Going on from it ends here again: "
            "start anew with another --out and a lower learning rate or reward scale"
        )


def _point(progress: dict[str, Any]) -> str:
    """Where a run stands, as in "--resume goes on after iteration 3"."""
    if progress["distilled"]:
        return "after the last phase"
    if progress.get("distillation_done"):
        return f"after {progress['distillation_done']} updates of the last phase"
    if progress["iteration"]:
        return f"after iteration {progress['iteration']}"
    return "after the first visits" if progress["collected"] else "from the beginning"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
