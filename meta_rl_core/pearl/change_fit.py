# SPDX-License-Identifier: Apache-2.0
"""Teaches a finished policy to tell that its task has changed; actor and encoder stay as they are.

A network sees one transition and a belief, and learns to tell transitions of the belief's own task from the same
motion rewarded under another one. What such a classifier learns is the logarithm of the ratio of the two likelihoods
(density ratio estimation, Sugiyama et al. 2012), which is what a test for a change sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.networks.mlp import MLP
from meta_rl_core.pearl.lives import Lives
from meta_rl_core.runtime.change_watch import ChangeWatch
from meta_rl_core.runtime.context import change_row
from meta_rl_core.tasks import TaskFamily

if TYPE_CHECKING:
    from meta_rl_core.bundle import Bundle

Array = NDArray[np.float64]
RECENT, RECENT_SHARE = 40, 0.7
"""Most transitions are judged by a belief that is at most so many transitions old, the rest by older ones."""
LOWEST_CALIBRATED = 5.0
ALARM_MARGIN = 1.1


@dataclass(frozen=True)
class ChangeFit:
    """How to learn.

    Attributes:
        seed: Decides tasks, start states, weights and batches.
        tasks: Tasks that are adapted to.
        episodes: Episodes of each.
        updates: Gradient steps.
        batch_size: Transitions of each.
        learning_rate: Its largest value; it rises and falls once.
        hidden: Widths of the layers.
    """

    seed: int = 0
    tasks: int = 800
    episodes: int = 6
    updates: int = 9000
    batch_size: int = 1024
    learning_rate: float = 2e-3
    hidden: tuple[int, ...] = (256, 256)

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            InvalidValueError: If one is out of range.
        """
        if self.seed < 0 or min(self.tasks, self.episodes, self.updates, self.batch_size) < 1:
            raise InvalidValueError(
                f"tasks, episodes, updates and batch_size must be at least 1, seed at least 0, got {self}"
            )


def learn(bundle: Bundle, family: TaskFamily, lives: Lives, settings: ChangeFit) -> tuple[MLP, list[float]]:
    """The network, and the mean cross entropy [nat] of each tenth of the updates; knowing nothing gives 0.693."""
    torch.set_num_threads(1)  # one order of summation, so that the same seed gives the same network
    generator = np.random.Generator(np.random.PCG64(settings.seed))
    torch_generator = torch.Generator().manual_seed(settings.seed)
    network = MLP(bundle.manifest.change_dim, settings.hidden, 1, layer_norm=True, generator=torch_generator)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, settings.updates)
    losses = []
    for _ in range(settings.updates):
        rows, changed = _batch(bundle, family, lives, settings.batch_size, generator)
        loss = functional.binary_cross_entropy_with_logits(network(rows).squeeze(-1), changed)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return network, [float(np.mean(part)) for part in np.array_split(losses, min(10, len(losses)))]


def _batch(
    bundle: Bundle, family: TaskFamily, lives: Lives, size: int, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Rows for the network, and 1 where the reward is that of another task."""
    robots, length = lives.reward.shape
    robot, step = generator.integers(robots, size=size), generator.integers(length, size=size)
    recent = generator.random(size) < RECENT_SHARE
    age = np.where(recent, generator.integers(RECENT + 1, size=size), generator.integers(length, size=size))
    mean, variance = lives.mean_and_variance(robot, np.maximum(step - age, 0))
    changed = generator.random(size) < 0.5
    others = family.sample_tasks(size, generator)
    tasks = np.where(changed[:, np.newaxis], others, lives.tasks[robot])
    judged = family.reward_model.judge(lives.signals[robot, step], lives.action[robot, step], tasks)
    sparse = bundle.manifest.reward.context_reward == "sparse"
    rows = change_row(
        lives.observation[robot, step],
        lives.action[robot, step],
        judged.sparse_reward if sparse else judged.reward,
        lives.next_observation[robot, step],
        bundle.manifest.reward_scale_in_context,
        mean,
        variance,
    )
    return torch.from_numpy(rows.astype(np.float32)), torch.from_numpy(changed.astype(np.float32))


def false_alarms(bundle: Bundle, lives: Lives, alarm: float) -> list[float]:
    """The greatest strength [nat] of each doubt above `alarm` in lives whose tasks never changed."""
    strengths = []
    for robot in range(len(lives.tasks)):
        watch, greatest = ChangeWatch(bundle, lives.belief(robot, 0), alarm), 0.0
        for step in range(lives.reward.shape[1]):
            if watch.observed(lives.transition(robot, step), lives.belief(robot, step + 1)):
                greatest = max(greatest, watch.strength)
            if watch.doubted == 0 and greatest > 0.0:
                strengths.append(greatest)
                greatest = 0.0
        strengths += [greatest] if greatest > 0.0 else []
    return sorted(strengths, reverse=True)


def calibrated(strengths: list[float], hours: float, per_hour: float) -> float:
    """The alarm [nat] that so many false alarms an hour exceed, and a tenth more, in whole nats.

    Args:
        strengths: What `false_alarms` gave, the greatest first.
        hours: Simulated hours that they come from.
        per_hour: How many false alarms are allowed.
    """
    allowed = int(hours * per_hour)
    exceeded = strengths[allowed] if allowed < len(strengths) else LOWEST_CALIBRATED
    return float(round(ALARM_MARGIN * exceeded))  # counts of rare alarms know no decimals
