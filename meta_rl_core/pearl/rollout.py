# SPDX-License-Identifier: Apache-2.0
"""Acting in many worlds at once with the networks in training."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from meta_rl_core.errors import NonFiniteError
from meta_rl_core.networks.recurrent_encoder import RecurrentEncoder
from meta_rl_core.pearl.action_noise import action_noise
from meta_rl_core.pearl.agent import Agent
from meta_rl_core.pearl.episodes import Episodes
from meta_rl_core.pearl.sequences import draw_stretch
from meta_rl_core.pearl.stream import BeliefStream
from meta_rl_core.tasks import Array, TaskFamily, Worlds

SEED_LIMIT = 2**31


class Explorer:
    """Rolls episodes of one family; keeps the worlds it has built, by their number."""

    def __init__(self, family: TaskFamily, agent: Agent) -> None:
        """Acts with `agent` in worlds of `family`."""
        self.family = family
        self.agent = agent
        self.device = next(agent.parameters()).device
        self._worlds: dict[int, Worlds] = {}

    def known_z(self, tasks: Array) -> Array:
        """What z is where nothing is inferred, for `tasks` (N, K), shape (N, latent).

        An oracle is told each parameter on the scale of the training tasks; a blind policy is told nothing.
        """
        if self.agent.config.control == "blind":
            return np.zeros((len(tasks), self.agent.config.latent_dim))
        known = self.family.training_tasks()
        scale = known.std(axis=0)
        return (tasks - known.mean(axis=0)) / np.where(scale > 0.0, scale, 1.0)

    def prior_z(self, tasks: Array, generator: np.random.Generator) -> Array:
        """What to act on before anything is seen of `tasks` (N, K), shape (N, latent).

        A sample of N(0, I), or what an embedding makes of random training tasks; zero for a deterministic latent,
        which has no prior; `known_z` for the controls that infer nothing.
        """
        config = self.agent.config
        if not config.infers:
            return self.known_z(tasks)
        if config.deterministic_latent:
            return np.zeros((len(tasks), config.latent_dim))
        return self.agent.hypotheses(len(tasks), generator)

    @torch.no_grad()
    def told_z(self, tasks: Array) -> Array:
        """What an embedding of tasks makes of `tasks` (N, K), its mean, shape (N, latent)."""
        assert self.agent.embedding is not None, "only runs with a privileged share have one"
        mean, _ = self.agent.embedding(self._tensor(self.family.task_features(tasks)))
        return np.asarray(mean.double().cpu().numpy())

    @torch.no_grad()
    def episode(
        self,
        tasks: Array,
        z: Array,
        generator: np.random.Generator,
        *,
        deterministic: bool,
        held_action: Array | None = None,
        going: NDArray[np.bool_] | None = None,
    ) -> Episodes:
        """One episode in each of N worlds.

        Args:
            tasks: Task parameters, shape (N, K).
            z: Hypothesis each world acts on, shape (N, latent).
            generator: Draws start states and action noise.
            deterministic: Act on tanh of the mean instead of a sample.
            held_action: Do this in every step instead of asking the actor, shape (N, A).
            going: Worlds that take part, shape (N,); what the others do is not valid. By default all.

        Raises:
            NonFiniteError: If a world shows NaN or infinity.
        """
        count = len(tasks)
        if count not in self._worlds:
            self._worlds[count] = self.family.make_worlds(count)
        worlds = self._worlds[count]
        spec, latent = self.family.spec, self._tensor(z)
        record = _empty(count, spec.horizon, spec.observation_dim, spec.action_dim, len(spec.signal_names))
        observation = worlds.reset(tasks, generator.integers(SEED_LIMIT, size=count))
        noise = action_noise(
            self.agent.config.noise_exponent, spec.horizon, (count, spec.action_dim), generator
        )
        alive: NDArray[np.bool_] = np.ones(count, dtype=np.bool_) if going is None else going.copy()
        for step in range(spec.horizon):
            action = held_action
            if action is None:
                action = self._act(observation, latent, None if deterministic else next(noise))
            result = worlds.step(action)
            record.observation[:, step] = observation
            record.action[:, step] = action
            record.next_observation[:, step] = result.observation
            record.signals[:, step] = result.signals
            record.terminal[:, step] = result.terminal
            record.valid[:, step] = alive
            alive = alive & ~result.terminal
            observation = result.observation
            if not alive.any():
                break
        return self._judge(record, tasks)

    def _act(self, observation: Array, z: torch.Tensor, noise: Array | None) -> Array:
        mean, log_std = self.agent.actor(self._tensor(observation), z)
        if noise is not None:
            mean = mean + log_std.exp() * self._tensor(noise)
        return torch.tanh(mean).double().cpu().numpy()

    def _tensor(self, values: Array) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self.device)

    def _judge(self, record: Episodes, tasks: Array) -> Episodes:
        judged = self.family.reward_model.judge(record.signals, record.action, tasks[:, None, :])
        if not (np.isfinite(judged.reward).all() and np.isfinite(record.next_observation).all()):
            raise NonFiniteError(
                f"worlds of {self.family.spec.name!r} showed NaN or infinity; check the simulator"
            )
        record.reward[:] = judged.reward
        record.sparse_reward[:] = judged.sparse_reward
        record.error[:] = judged.error
        record.success[:] = judged.success
        return record

    @torch.no_grad()
    def infer(
        self,
        episodes: list[Episodes],
        sampling: Literal["sample", "mean"],
        generator: np.random.Generator,
        *,
        draw: int | None = None,
    ) -> Array:
        """Z for each world, shape (N, latent), from the posterior given `episodes`.

        Args:
            episodes: Context, in the order lived; none means the prior.
            sampling: A sample of the posterior, or its mean.
            generator: Draws the sample and, with `draw`, the context subset.
            draw: Use this many context transitions drawn with replacement (the paper's collection) instead of all.
        """
        parts = [self._encoded(e) for e in episodes]
        if isinstance(self.agent.encoder, RecurrentEncoder):
            centre, std = (
                self._streamed(self.agent.encoder, episodes, parts)
                if draw is None
                else self._from_stretches(episodes, torch.cat(parts, dim=1), draw, generator)
            )
            return centre if sampling == "mean" else centre + std * generator.standard_normal(centre.shape)
        context = torch.cat(parts, dim=1)
        valid = np.concatenate([e.valid for e in episodes], axis=1)
        means, variances = [], []
        for world in range(len(valid)):
            rows = np.flatnonzero(valid[world])
            if draw is not None:
                rows = rows[generator.integers(len(rows), size=draw)]
            mean, variance = self.agent.posterior(
                context[world : world + 1, torch.from_numpy(rows).to(self.device)]
            )
            means.append(mean[0].double().cpu().numpy())
            variances.append(variance[0].double().cpu().numpy())
        centre, std = np.stack(means), np.sqrt(np.stack(variances))
        return centre if sampling == "mean" else centre + std * generator.standard_normal(centre.shape)

    @torch.no_grad()
    def infer_from(
        self, context: torch.Tensor, starts: torch.Tensor | None, generator: np.random.Generator
    ) -> Array:
        """A sample of the posterior of each task given a context in the form of training batches, (N, latent).

        Args:
            context: Encoder inputs, shape (N, n, context_dim).
            starts: Where episodes begin in it, shape (N, n), for a recurrent encoder.
            generator: Draws the samples.
        """
        centre, std = _centre_and_std(*self.agent.posterior(context, starts))
        return centre + std * generator.standard_normal(centre.shape)

    def _encoded(self, episodes: Episodes) -> torch.Tensor:
        """Encoder inputs of every transition, shape (N, H, context_dim)."""
        seen = episodes.context_reward(self.family.spec.context_reward)
        parts = (episodes.observation, episodes.action, seen, episodes.next_observation)
        return self.agent.encode_context(*(self._tensor(part) for part in parts))

    def _streamed(
        self, encoder: RecurrentEncoder, episodes: list[Episodes], parts: list[torch.Tensor]
    ) -> tuple[Array, Array]:
        """Mean and standard deviation of z, each (N, latent), reading everything in the order lived."""
        worlds = len(episodes[0].valid)
        stream = BeliefStream(encoder, worlds, prior_in_product=self.agent.config.prior_in_product)
        for lived, context in zip(episodes, parts, strict=True):
            stream.begin_episode()
            valid = torch.from_numpy(lived.valid).to(self.device)
            for step in range(int(lived.valid.sum(axis=1).max())):
                stream.observe(context[:, step], valid[:, step])
        return _centre_and_std(*stream.belief())

    def _from_stretches(
        self, episodes: list[Episodes], context: torch.Tensor, size: int, generator: np.random.Generator
    ) -> tuple[Array, Array]:
        """The same from one stretch of `size` transitions per world, as contexts are drawn in training."""
        first = np.concatenate([np.arange(e.valid.shape[1]) == 0 for e in episodes])
        valid = np.concatenate([e.valid for e in episodes], axis=1)
        lived = [np.flatnonzero(row) for row in valid]
        rows = np.stack([places[draw_stretch(first[places], size, generator)] for places in lived])
        starts = first[rows]
        starts[:, 0] = True
        worlds = torch.arange(len(rows), device=self.device).unsqueeze(1)
        picked = context[worlds, torch.from_numpy(rows).to(self.device)]
        return _centre_and_std(*self.agent.posterior(picked, torch.from_numpy(starts).to(self.device)))


def _centre_and_std(mean: torch.Tensor, variance: torch.Tensor) -> tuple[Array, Array]:
    return mean.double().cpu().numpy(), variance.double().sqrt().cpu().numpy()


def _empty(count: int, horizon: int, observations: int, actions: int, signals: int) -> Episodes:
    def zeros(*shape: int) -> Array:
        return np.zeros((count, horizon, *shape))

    def flags() -> NDArray[np.bool_]:
        return np.zeros((count, horizon), dtype=bool)

    return Episodes(
        observation=zeros(observations),
        action=zeros(actions),
        next_observation=zeros(observations),
        signals=zeros(signals),
        reward=zeros(),
        sparse_reward=zeros(),
        error=zeros(),
        success=flags(),
        terminal=flags(),
        valid=flags(),
    )
