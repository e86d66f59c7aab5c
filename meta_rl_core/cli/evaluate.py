# SPDX-License-Identifier: Apache-2.0
"""`pitaya evaluate BUNDLE`: how well a policy adapts to held-out tasks."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from meta_rl_core.errors import InvalidValueError

if TYPE_CHECKING:
    from meta_rl_core.runtime.evaluator import Protocol


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--tasks", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Held-out tasks."
)
@click.option(
    "--unseen",
    is_flag=True,
    help="Leave out the published held-out tasks that some families have: training runs choose their best policy on "
    "those.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides tasks, starts and z."
)
@click.option(
    "--episodes", type=click.IntRange(1, 10_000), default=3, show_default=True, help="Episodes per task."
)
@click.option(
    "--exploration-episodes",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="How many of them explore before the belief is acted on.",
)
@click.option(
    "--exploration",
    type=click.Choice(["prior", "cover"]),
    help="What those act on: samples of the prior (as in the paper), or hypotheses that cover the training tasks. "
    "By default what the bundle offers.",
)
@click.option(
    "--hypotheses-per-episode",
    type=click.IntRange(1, 16),
    help="How many hypotheses each of them tries, one after the other. By default what the bundle says.",
)
@click.option(
    "--sampling",
    type=click.Choice(["sample", "mean", "prior"]),
    default="sample",
    show_default=True,
    help="After exploration, act on a posterior sample (as in the paper) or on the posterior mean; 'prior' acts on "
    "the prior in every episode: what the policy does without adapting.",
)
@click.option(
    "--ranges",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=None,
    help="Draw tasks from the ranges in this file, as `pitaya identify` writes it.",
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write all scores to this file.",
)
def evaluate(
    bundle: Path,
    tasks: int,
    unseen: bool,
    seed: int,
    episodes: int,
    exploration_episodes: int,
    exploration: str | None,
    hypotheses_per_episode: int | None,
    sampling: str,
    ranges: Path | None,
    json_path: Path | None,
) -> None:
    """Let the policy in BUNDLE adapt to held-out tasks of its family, by the paper's protocol.

    A training run's folder in place of a bundle is scored by the networks in training: for controls and recurrent
    encoders, which no bundle holds.

    Each task is met afresh: some episodes explore on a sample of the prior, or on the bundle's hypotheses, one after
    the other; later ones act on the posterior given everything seen. The last episode is the score.
    """
    from meta_rl_core.runtime.evaluator import Protocol

    protocol = Protocol(
        episodes,
        exploration_episodes,
        sampling,  # type: ignore[arg-type]
        seed,
        exploration,  # type: ignore[arg-type]
        hypotheses_per_episode,
    )
    started = time.monotonic()
    scores = _scores(bundle, tasks, protocol, ranges, unseen=unseen)
    scores["wall_s"] = time.monotonic() - started
    if json_path is not None:
        _write_json(json_path, scores)
    print_table(scores)


def _scores(
    path: Path, tasks: int, protocol: Protocol, ranges: Path | None, *, unseen: bool
) -> dict[str, Any]:
    from meta_rl_core.bundle.manifest import MANIFEST_FILE

    # The settings of its run may lie beside a bundle as well.
    if (path / "config.yaml").is_file() and not (path / MANIFEST_FILE).exists():
        from meta_rl_core.pearl.run_scores import score_run

        if ranges is not None:
            raise InvalidValueError(
                "--ranges belongs to a bundle; the tasks of a run are those of its family"
            )
        return score_run(path, tasks, protocol, unseen=unseen)
    from meta_rl_core.bundle import load_bundle
    from meta_rl_core.registry import load_family
    from meta_rl_core.runtime.evaluator import evaluate_bundle
    from meta_rl_core.runtime.report import report_scores

    policy = load_bundle(path)
    family = load_family(policy.manifest.family, from_file=True)
    if ranges is not None:
        family = family.narrowed(ranges)
    posed = (family.unseen_tasks if unseen else family.heldout_tasks)(tasks, protocol.seed)
    result = evaluate_bundle(policy, family, posed, protocol)
    return report_scores(policy, result, protocol)


def _write_json(path: Path, scores: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidValueError(f"the scores could not be written to {path}: {error}") from error


def _short(value: float) -> str:
    """One decimal where it says something; the table must fit 80 columns."""
    return f"{value:.1f}" if abs(value) < 100.0 else f"{value:.0f}"


def print_table(scores: dict[str, Any]) -> None:
    """What `--json` writes, for a terminal of 80 columns: a line per episode, and under what conditions."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    name = scores.get("bundle") or scores["run"]
    title = f"{name}: {scores['tasks']} held-out tasks of {scores['family']}"
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1))
    for heading in ("episode", "z from"):
        table.add_column(heading, no_wrap=True)
    # Families without a sparse reward repeat the dense one.
    has_sparse = any(one["sparse_return_mean"] != one["return_mean"] for one in scores["per_episode"])
    for heading in ("solved", "return", "worst 5%", *(["sparse"] if has_sparse else []), "error"):
        table.add_column(heading, justify="right", no_wrap=True)
    for index, episode in enumerate(scores["per_episode"]):
        explores = index < scores["exploration_episodes"]
        sparse = f"{_short(episode['sparse_return_mean'])} ± {_short(episode['sparse_return_std'])}"
        table.add_row(
            str(index + 1),
            scores["exploration"] if explores else "posterior",
            f"{100 * episode['success_rate']:.0f} %",
            f"{_short(episode['return_mean'])} ± {_short(episode['return_std'])}",
            _short(episode["return_cvar5"]),
            *([sparse] if has_sparse else []),
            f"{episode['final_error_median']:.3f}",
        )
    console = Console()
    belief = "no adaptation" if scores["sampling"] == "prior" else f"posterior {scores['sampling']}"
    console.print(table)
    returns = "return, sparse" if has_sparse else "return"
    console.print(f"{returns}: mean ± std over tasks; error: median at the end of the episode")
    source = (
        f"bundle {scores['bundle_hash'][:12]}" if "bundle_hash" in scores else f"control {scores['control']}"
    )
    console.print(
        f"{belief}, seed {scores['seed']}, "
        f"{scores['env_steps']} steps in {scores['wall_s']:.1f} s\n"
        f"{source}, trained for {scores['training_env_steps']} steps"
    )
