# SPDX-License-Identifier: Apache-2.0
"""Learner: collects episodes, keeps the replay and makes batches for the update."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from meta_rl_core.networks.critic import polyak_update
from meta_rl_core.networks.input_scale import RunningMoments, set_scales
from meta_rl_core.pearl.agent import Agent
from meta_rl_core.pearl.batch import Batch
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.device import checked_device
from meta_rl_core.pearl.episodes import Episodes
from meta_rl_core.pearl.family_check import check_settings
from meta_rl_core.pearl.goals import relabel_goals
from meta_rl_core.pearl.quota import Quota
from meta_rl_core.pearl.replay import TaskReplay
from meta_rl_core.pearl.rollout import Explorer
from meta_rl_core.pearl.sac_v1 import SacV1Update
from meta_rl_core.pearl.sac_v2 import SacV2Update
from meta_rl_core.pearl.shaping import shape_rewards
from meta_rl_core.pearl.static_update import GraphedUpdate, StaticUpdate, make_capturable, set_learning_rate
from meta_rl_core.pearl.visits import ContextDraw, RelabelledReplay, known_tasks
from meta_rl_core.tasks import Array, TaskFamily

Index = NDArray[np.int64]
UPDATES: dict[str, type[SacV1Update] | type[SacV2Update]] = {"sac_v1": SacV1Update, "sac_v2": SacV2Update}
WORLDS_AT_ONCE = 100
CANDIDATE_TASKS = 16
OVERSAMPLING = 4
"""Contexts drawn per context used, where those with reward are sought."""


class Learner:
    """Everything of a run that changes while it learns."""

    def __init__(self, family: TaskFamily, config: PearlConfig, device: str = "cpu") -> None:
        """Builds networks and an empty replay; two generators, seeded by the configuration, draw everything.

        Raises:
            ContractError: If the settings do not fit the family.
            InvalidValueError: If there is no such device.
        """
        self.device = checked_device(device)
        self.family = family
        self.config = config
        check_settings(family, config)
        self.generator = np.random.Generator(np.random.PCG64(config.seed))
        self.torch_generator = torch.Generator().manual_seed(config.seed)
        self.visited = len(family.training_tasks())
        self.tasks = known_tasks(family, config.relabelled_tasks, config.seed)
        self.task_features = torch.as_tensor(family.task_features(self.tasks), dtype=torch.float32)
        self.agent = Agent(family.spec, config, self.torch_generator, self.task_features[: self.visited])
        self.update: SacV1Update | SacV2Update = UPDATES[config.method](
            family.spec, config, self.agent, self.torch_generator
        )
        self.update.to(self.device)
        if self.device.type != "cpu":
            self.torch_generator = torch.Generator(self.device).manual_seed(config.seed)
            if config.cuda_graph:
                make_capturable(self.update.optimisers(), self.device)
        self._static: StaticUpdate | None = None
        self.averaged = copy.deepcopy(self.agent).requires_grad_(False)
        self.explorer = Explorer(family, self.agent)
        self.moments = RunningMoments(family.spec.observation_dim)
        self.env_steps = 0
        self.updates = 0
        self.replay: TaskReplay | RelabelledReplay
        in_order = config.recurrent_encoder
        if config.relabel:
            self.replay = RelabelledReplay(
                family.spec,
                config.replay_capacity,
                config.context_window_visits,
                self.device,
                in_order=in_order,
            )
        else:
            self.replay = TaskReplay(
                family.spec, config.replay_capacity, len(self.tasks), self.device, in_order=in_order
            )

    def collect_initial(self) -> None:
        """Visits every training task with z from the prior before the first update."""
        for start in range(0, self.visited, WORLDS_AT_ONCE):
            self._visit(
                np.arange(start, min(start + WORLDS_AT_ONCE, self.visited)),
                self.config.collection.initial_prior_episodes,
                0,
                0,
                hold=self.config.collection.initial_held_actions,
            )
        self.scale_observations()

    def collect(self) -> None:
        """One iteration's visits: training tasks drawn uniformly with replacement."""
        plan = self.config.collection
        tasks = self.generator.integers(self.visited, size=plan.tasks_per_iteration)
        for task in tasks:
            if isinstance(self.replay, TaskReplay):
                self.replay.clear_context(int(task))
        self._visit(tasks, plan.prior_episodes, plan.posterior_episodes, plan.extra_posterior_episodes)
        self.scale_observations()

    def scale_observations(self) -> None:
        """Shows all networks observations on the scale of those collected so far, where that is wanted."""
        for network in (self.update, self.averaged):
            set_scales(network, self.moments)

    def _visit(self, tasks: Index, prior: int, posterior: int, extra: int, *, hold: bool = False) -> None:
        lived: list[Episodes] = []
        quota = self._quota(tasks, prior)
        for _, going in quota.rounds():
            lived.append(self._episode(tasks, self._prior_z(tasks), going, hold=hold))
            quota.add(lived[-1])
            self._keep(lived[-1], tasks, to_context=True)
        prior_rounds = len(lived)
        first_inferred = 0 if self.config.relabel else 1
        for count, to_context in ((posterior, True), (extra, False)):
            context = list(lived)
            quota = self._quota(tasks, count)
            for index, going in quota.rounds():
                draw = None if self.config.relabel else self.config.context_size
                inferred = index >= first_inferred and bool(context) and self.config.infers
                z = (
                    self.explorer.infer(context, "sample", self.generator, draw=draw)
                    if inferred
                    else self._prior_z(tasks)
                )
                episodes = self._episode(tasks, z, going)
                quota.add(episodes)
                self._keep(episodes, tasks, to_context=to_context)
                if to_context:
                    context.append(episodes)
                    lived.append(episodes)
        if isinstance(self.replay, RelabelledReplay):
            self.replay.add_visits(lived, tasks, prior_rounds)

    def _quota(self, tasks: Index, episodes: int) -> Quota:
        return Quota(len(tasks), episodes, self.family.spec.horizon, by_steps=self.config.collection.by_steps)

    def _prior_z(self, tasks: Index) -> Array:
        return self.explorer.prior_z(self.tasks[tasks], self.generator)

    def _episode(self, tasks: Index, z: Array, going: NDArray[np.bool_], *, hold: bool = False) -> Episodes:
        actions = (len(tasks), self.family.spec.action_dim)
        held = self.generator.uniform(-1.0, 1.0, size=actions) if hold else None
        episodes = self.explorer.episode(
            self.tasks[tasks], z, self.generator, deterministic=False, held_action=held, going=going
        )
        self.env_steps += episodes.steps
        self.moments.add(episodes.observation[episodes.valid])
        return episodes

    def _keep(self, episodes: Episodes, tasks: Index, *, to_context: bool) -> None:
        if isinstance(self.replay, TaskReplay):
            self.replay.add(episodes, tasks, to_context=to_context)

    def learn_once(self) -> dict[str, torch.Tensor]:
        """One gradient step on a fresh batch."""
        self._set_learning_rate()
        self.updates += 1
        losses = self._step(self.make_batch())
        polyak_update(self.averaged, self.agent, self.config.averaging_rate)
        return losses

    def _step(self, batch: Batch) -> dict[str, torch.Tensor]:
        if self.device.type == "cpu" or not self.config.cuda_graph:
            return self.update.step(batch, self.torch_generator)
        if self._static is None:
            self._static = GraphedUpdate(self.update, batch)
        return self._static.step(batch, self.torch_generator)

    def share_done(self) -> float:
        """How much of the run is over, 0 to 1: of its environment steps if those are bounded, else of its updates."""
        config = self.config
        if config.environment_steps is not None:
            return min(1.0, self.env_steps / config.environment_steps)
        return self.updates / (config.iterations * config.updates_per_iteration)

    def _set_learning_rate(self) -> None:
        config, start = self.config, self.config.learning_rate_decay_from
        fallen = max(0.0, self.share_done() - start) / (1.0 - start)
        share = 1.0 - (1.0 - config.learning_rate_decay) * fallen
        set_learning_rate(self.update.optimisers(), config.learning_rate * share)

    def make_batch(self) -> Batch:
        """Draws tasks, their contexts and, independently, their RL transitions."""
        config, early, early_starts = self.config, None, None
        tasks, context_rows = self.draw_contexts(config.context_size)
        transitions = self.draw_transitions(tasks)
        if isinstance(self.replay, RelabelledReplay) and config.early_context_weight > 0.0:
            early_rows = self.replay.draw_early(config.meta_batch, config.context_size, self.generator)
            early, early_starts = self.encode(early_rows, tasks), self.episode_starts(early_rows)
        del transitions["signals"], transitions["sparse_reward"]
        context = self.encode(context_rows, tasks)
        known_z = None
        if not config.infers:
            known_z = torch.as_tensor(
                self.explorer.known_z(self.tasks[tasks]), dtype=torch.float32, device=self.device
            )
        return Batch(
            **transitions,
            context=context,
            known_z=known_z,
            task_features=self.task_features[torch.from_numpy(tasks)].to(self.device),
            early_context=early,
            context_starts=self.episode_starts(context_rows),
            early_starts=early_starts,
        )

    def draw_contexts(self, size: int) -> tuple[Index, torch.Tensor]:
        """A meta-batch of training tasks (T,) and replay rows (T, size) that are context of them."""
        config = self.config
        if isinstance(self.replay, TaskReplay):
            tasks = self.generator.integers(len(self.tasks), size=config.meta_batch)
            return tasks, self.replay.sample_context(tasks, size, self.generator)
        drawn = self._draw_rewarded(self.replay, size)
        return drawn.tasks, drawn.rows

    def draw_transitions(self, tasks: Index) -> dict[str, torch.Tensor]:
        """Transitions (T, B, ...) for `tasks` (T,) with their rewards, some under another goal where one is visible."""
        shape = (len(tasks), self.config.batch_size)
        if isinstance(self.replay, RelabelledReplay):
            transitions = self._transitions(self.replay.draw_rl(shape, self.generator), tasks)
        else:
            transitions = self._transitions(self.replay.sample_rl(tasks, shape[1], self.generator), tasks)
        if share := self.config.goal_relabel_share:
            transitions = relabel_goals(self.family, transitions, self.tasks[tasks], share, self.generator)
        return shape_rewards(self.family, transitions, self.tasks[tasks], self.config)

    def replay_contexts(
        self, tasks: Index, generator: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """A fresh context (T, context_size, context_dim) of each of these training tasks, and its episodes' starts."""
        assert isinstance(self.replay, TaskReplay), "relabelled replays hold no context of a task's own"
        rows = self.replay.sample_context(tasks, self.config.context_size, generator)
        return self.encode(rows, tasks), self.episode_starts(rows)

    def episode_starts(self, rows: torch.Tensor) -> torch.Tensor | None:
        """Where episodes begin in contexts of replay rows (T, C), the first row included; None if nobody asks."""
        if not self.config.recurrent_encoder:
            return None
        starts = self.replay.store.first_step[rows.numpy()]
        starts[:, 0] = True
        return torch.from_numpy(starts).to(self.device)

    def encode(self, rows: torch.Tensor, tasks: Index) -> torch.Tensor:
        """Encoder inputs (T, C, context_dim) of replay rows (T, C), judged for one task (index) per row."""
        context = self._transitions(rows, tasks)
        sparse = self.family.spec.context_reward == "sparse"
        return self.agent.encode_context(
            context["observation"],
            context["action"],
            context["sparse_reward" if sparse else "reward"],
            context["next_observation"],
        )

    def _draw_rewarded(self, replay: RelabelledReplay, size: int) -> ContextDraw:
        """Contexts of `size` transitions for one batch; a configured share of them is made sure to hold sparse reward.

        Without that a sparse reward hardly ever enters a context. Contexts that say nothing all look like the
        prior, and the actor would learn to act on every prior sample as a compromise between all tasks.
        """
        config, known = self.config, len(self.tasks)
        if config.rewarded_context_share == 0.0:
            return replay.draw_contexts(config.meta_batch, size, known, self.generator)
        drawn = replay.draw_contexts(OVERSAMPLING * config.meta_batch, size, known, self.generator)
        candidates = self.generator.integers(known, size=(len(drawn.tasks), CANDIDATE_TASKS))
        candidates[~drawn.relabelled] = drawn.tasks[~drawn.relabelled, None]
        columns = self.replay.store.columns
        signals, actions = (
            columns[name][drawn.rows.to(self.device)].double().cpu().numpy()[:, None]
            for name in ("signals", "action")
        )
        judged = self.family.reward_model.judge(signals, actions, self.tasks[candidates][:, :, None, :])
        paid = judged.sparse_reward.sum(axis=-1)
        best = paid.argmax(axis=-1)
        tasks = candidates[np.arange(len(best)), best]
        wanted = round(config.rewarded_context_share * config.meta_batch)
        paying_first = np.argsort(paid.max(axis=-1) == 0.0, kind="stable")
        chosen = np.concatenate([paying_first[:wanted], paying_first[::-1][: config.meta_batch - wanted]])
        return ContextDraw(tasks[chosen], drawn.rows[torch.from_numpy(chosen)], drawn.relabelled[chosen])

    def _transitions(self, rows: torch.Tensor, tasks: Index) -> dict[str, torch.Tensor]:
        gathered = self.replay.store.gather(rows)
        if not self.config.relabel:
            return gathered
        plain: dict[str, Array] = {name: gathered[name].cpu().numpy() for name in ("signals", "action")}
        judged = self.family.reward_model.judge(
            plain["signals"], plain["action"], self.tasks[tasks][:, None, :]
        )
        for name, values in (("reward", judged.reward), ("sparse_reward", judged.sparse_reward)):
            gathered[name] = torch.as_tensor(values, dtype=torch.float32, device=self.device)
        return gathered
