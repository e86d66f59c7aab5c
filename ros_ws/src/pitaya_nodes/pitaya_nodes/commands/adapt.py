# SPDX-License-Identifier: Apache-2.0
"""`pitaya adapt`: lets a running policy node adapt to the task at hand, and shows how it goes."""

from __future__ import annotations

import sys

import click
from pitaya_msgs.action import Adapt

from pitaya_nodes.adapt_client import AdaptClient, ros_context
from pitaya_nodes.errors import GoalCancelledError
from pitaya_nodes.interrupts import Interrupts
from pitaya_nodes.report import EpisodeTable, make_console

INTERRUPTED = 130


@click.command()
@click.option("--episodes", default=3, show_default=True, help="Episodes to run.")
@click.option(
    "--explore",
    default=2,
    show_default=True,
    help="Episodes at the start that act on a sample of the prior, or on the bundle's hypotheses, one after the other.",
)
@click.option(
    "--steps", default=0, show_default=True, help="Steps per episode; 0 takes the bundle's horizon."
)
@click.option("--seed", default=0, show_default=True, help="Seed of start states and sampled hypotheses.")
@click.option(
    "--sampling",
    type=click.Choice(["sample", "mean"]),
    default="sample",
    show_default=True,
    help="What to act on after exploring: a sample of the posterior or its mean.",
)
@click.option("--keep-belief", is_flag=True, help="Go on from the present belief instead of the prior.")
@click.option("--budget", default=0.0, show_default=True, help="Time budget [s]; 0 means no limit.")
@click.option("--namespace", default="", help="Namespace of the graph.")
def adapt(
    episodes: int,
    explore: int,
    steps: int,
    seed: int,
    sampling: str,
    keep_belief: bool,
    budget: float,
    namespace: str,
) -> None:
    """Adapt to the task the plant poses; the nodes must be running (`pitaya up` or `ros2 launch`).

    Exit status 0 if the last episode counts as solved, 1 if not, 130 after Ctrl-C, 2 on an error.
    """
    goal = Adapt.Goal(
        episodes=_unsigned("episodes", episodes, 32),
        steps_per_episode=_unsigned("steps", steps, 32),
        time_budget_s=budget,
        seed=_unsigned("seed", seed, 64),
        reset_belief=not keep_belief,
        exploration_episodes=_unsigned("explore", explore, 32),
        sampling=sampling,
    )
    console = make_console()
    with Interrupts() as interrupts, ros_context() as context:
        client = AdaptClient(context, interrupts, namespace=namespace)
        try:
            table = EpisodeTable(console, client.error_unit(), explore)
            result = client.adapt(goal, table.add)
        except GoalCancelledError:
            console.print("interrupted; the goal was cancelled")
            sys.exit(INTERRUPTED)
    console.print(f"[{'bold green' if result.adapted else 'yellow'}]{result.message}")
    sys.exit(0 if result.adapted else 1)


def _unsigned(name: str, value: int, bits: int) -> int:
    if not 0 <= value < 2**bits:
        raise click.BadParameter(f"must lie in [0, 2^{bits}), got {value}", param_hint=f"--{name}")
    return value
