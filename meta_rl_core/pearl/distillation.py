# SPDX-License-Identifier: Apache-2.0
"""The last phase of a run: actor and encoder learn together to do what the actor does when told the task.

An actor on the embedding of its task soon acts well, while an encoder that must hit that embedding stays the weaker
half: each transition contributes one Gaussian, so not every code can be inferred. Here encoder and actor imitate
the told actor as one network from context to action, and the code becomes one that a product of Gaussians can infer
(a privileged teacher as in Chen et al. 2020 and Kumar et al. 2021, with the bottleneck of PEARL in between).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from meta_rl_core.networks.critic import polyak_update
from meta_rl_core.networks.encoder import kl_to_standard_normal
from meta_rl_core.pearl.agent import Agent
from meta_rl_core.pearl.learner import Learner
from meta_rl_core.pearl.precision import matrix_products

AVERAGING_RATE = 0.005
CONTEXT_SCALES = (0.5, 1.0, 2.0)
"""Contexts shorter and longer than in training: a belief must get better, not worse, with every episode."""
LEAST_VARIANCE = 1e-4


class Distillation:
    """Teacher, student and the student's running average, which leaves training."""

    def __init__(self, learner: Learner) -> None:
        """Starts from the averaged agent of a run that had an embedding of tasks."""
        self.learner = learner
        self.teacher = learner.averaged
        self.student = copy.deepcopy(self.teacher).requires_grad_(True)
        self.averaged = copy.deepcopy(self.teacher)
        config = learner.config
        self.total = config.distillation_updates
        self.done = 0
        self.optimiser = torch.optim.Adam(
            self.student.parameters(), lr=config.distillation_learning_rate, fused=True
        )

    def step(self) -> dict[str, Tensor]:
        """One gradient step.

        Returns:
            Scalar losses by name, detached.
        """
        learner, config = self.learner, self.learner.config
        size = round(config.context_size * float(learner.generator.choice(CONTEXT_SCALES)))
        tasks, rows = learner.draw_contexts(size)
        features = learner.task_features[torch.from_numpy(tasks)].to(learner.device)
        observation = learner.draw_transitions(tasks)["observation"]
        context = learner.encode(rows, tasks)
        losses = self.losses(context, features, observation, learner.episode_starts(rows))
        self._set_learning_rate()
        self.optimiser.zero_grad(set_to_none=True)
        loss = losses["imitation_loss"] + losses["embedding_loss"]
        (loss + config.distillation_kl_weight * losses["kl_per_task"]).backward()
        self.optimiser.step()
        polyak_update(self.averaged, self.student, AVERAGING_RATE)
        self.done += 1
        return {name: value.detach() for name, value in losses.items()}

    def state(self) -> dict[str, Tensor]:
        """What a later `restore` goes on from, apart from the number of steps done."""
        tensors = {f"student.{name}": value for name, value in self.student.state_dict().items()}
        tensors |= {f"averaged.{name}": value for name, value in self.averaged.state_dict().items()}
        for index, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{key}": torch.as_tensor(value) for key, value in values.items()}
        return tensors

    def restore(self, tensors: Mapping[str, Tensor], done: int) -> None:
        """Goes back to what `state` gave after `done` steps.

        Raises:
            RuntimeError: If tensors are missing or do not fit.
        """
        self.student.load_state_dict(_within(tensors, "student."))
        self.averaged.load_state_dict(_within(tensors, "averaged."))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _within(tensors, "optimiser.").items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        self.done = done

    def losses(
        self, context: Tensor, features: Tensor, observation: Tensor, starts: Tensor | None = None
    ) -> dict[str, Tensor]:
        """What the student learns from.

        Args:
            context: Encoder inputs, shape (T, C, context_dim).
            features: Features of the T tasks, shape (T, F).
            observation: Where to act, shape (T, B, O).
            starts: Where episodes of the context begin, shape (T, C), for a recurrent encoder.
        """
        with matrix_products(self.learner.config.reduced_precision, observation.device):
            with torch.no_grad():
                target = _action(self.teacher, observation, _embedded(self.teacher, features)[0])
            mean, variance = self.student.posterior(context, starts)
            noise = torch.randn(mean.shape, generator=self.learner.torch_generator, device=mean.device)
            action = _action(self.student, observation, mean + variance.sqrt() * noise)
        return {
            "imitation_loss": functional.mse_loss(action, target),
            "kl_per_task": kl_to_standard_normal(mean, variance) / len(mean),
            "embedding_loss": self._embedding_loss(features, mean.detach()),
        }

    def _embedding_loss(self, features: Tensor, inferred: Tensor) -> Tensor:
        """The embedding follows the code, so that it goes on saying what z is for a task."""
        mean, variance = _embedded(self.student, features)
        return functional.gaussian_nll_loss(mean, inferred, variance.clamp(min=LEAST_VARIANCE))

    def _set_learning_rate(self) -> None:
        share = min(1.0, 2.0 * (1.0 - self.done / self.total))
        for group in self.optimiser.param_groups:
            group["lr"] = self.learner.config.distillation_learning_rate * share


def _within(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _embedded(agent: Agent, features: Tensor) -> tuple[Tensor, Tensor]:
    assert agent.embedding is not None, "the configuration asks for one wherever it asks for distillation"
    mean, variance = agent.embedding(features)
    return mean, variance


def _action(agent: Agent, observation: Tensor, z: Tensor) -> Tensor:
    """Deterministic actions (T, B, A) at observations (T, B, O) on one z (T, latent) per task."""
    mean, _ = agent.actor(observation, z.unsqueeze(1).expand(-1, observation.shape[1], -1))
    return torch.tanh(mean).float()
