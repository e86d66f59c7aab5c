# SPDX-License-Identifier: Apache-2.0
"""Shows stored transitions under other visible goals: same body, same motion, another target and its reward.

A transition belongs to the body it was lived with, but the visible part of its task only decides what the
observation tells and what is rewarded. Both follow from measured signals, so any goal may be put in its place
(hindsight relabelling, Andrychowicz et al. 2017, arXiv 1707.01495, with goals drawn afresh).
"""

from __future__ import annotations

import numpy as np
import torch

from meta_rl_core.tasks import Array, TaskFamily


def relabel_goals(
    family: TaskFamily,
    transitions: dict[str, torch.Tensor],
    tasks: Array,
    share: float,
    generator: np.random.Generator,
) -> dict[str, torch.Tensor]:
    """Transitions of which about `share` have a fresh goal; the others are as they were lived.

    Args:
        family: Its spec names what is visible; it shows observations under other tasks and judges them.
        transitions: Observation, action, next_observation, signals, reward and sparse_reward, shape (T, B, ...).
        tasks: The tasks they were lived in, shape (T, K).
        share: Chance of each transition to be relabelled.
        generator: Draws which ones and their goals.
    """
    rows, columns = transitions["reward"].shape
    chosen = generator.random((rows, columns)) < share
    visible = len(family.spec.visible_task_names)
    fresh = family.sample_tasks(rows * columns, generator).reshape(rows, columns, -1)
    posed = np.repeat(tasks[:, None], columns, axis=1)
    posed[chosen, :visible] = fresh[chosen, :visible]
    plain = {name: value.double().cpu().numpy() for name, value in transitions.items()}
    judged = family.reward_model.judge(plain["signals"], plain["action"], posed)
    relabelled = {
        "observation": family.show_task(plain["observation"], posed),
        "next_observation": family.show_task(plain["next_observation"], posed),
        "reward": judged.reward,
        "sparse_reward": judged.sparse_reward,
    }
    mask = torch.from_numpy(chosen).to(transitions["reward"].device)
    result = dict(transitions)
    for name, value in relabelled.items():
        lived = transitions[name]
        changed = torch.as_tensor(value, dtype=lived.dtype, device=lived.device)
        result[name] = torch.where(mask if lived.ndim == 2 else mask.unsqueeze(-1), changed, lived)
    return result
