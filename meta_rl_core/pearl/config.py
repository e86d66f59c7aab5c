# SPDX-License-Identifier: Apache-2.0
"""All settings of a meta-training run, checked when they are made and written beside the weights."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.pearl.config_checks import check_combinations, check_ranges
from meta_rl_core.pearl.plans import CollectionConfig, EvaluationConfig


@dataclass(frozen=True)
class PearlConfig:
    """One run: which family, which mathematics, how long."""

    family: str
    preset: str = "paper"
    seed: int = 0
    iterations: int = 500
    environment_steps: int | None = None
    """Ends the run after this many environment steps, whatever `iterations` says; the learning rate follows them."""
    updates_per_iteration: int = 2000
    latent_dim: int = 5
    meta_batch: int = 16
    """Tasks per update."""
    batch_size: int = 256
    """RL transitions per task and update."""
    context_size: int = 100
    """Context transitions per task and update."""
    discount: float = 0.99
    target_rate: float = 0.005
    """Polyak rate of the target network per update."""
    reward_scale: float = 5.0
    """Multiplies the reward in the Bellman target only; the encoder sees the raw reward."""
    context_reward_scale: float = 1.0
    """Multiplies the raw reward in the encoder's input; 1 in the paper."""
    kl_weight: float = 0.1
    """Weight of the information bottleneck, summed over tasks and dimensions."""
    aggregate_weight: float = 0.0
    """Weight of keeping all tasks' posteriors together close to the prior (sac_v2), so that exploring on prior
    samples tries real hypotheses."""
    learning_rate: float = 3e-4
    learning_rate_decay: float = 1.0
    """Share of the learning rate left at the end."""
    learning_rate_decay_from: float = 0.5
    """Share of the run after which it begins to fall, linearly."""
    averaging_rate: float = 1.0
    """Polyak rate per update of the averaged agent that is evaluated and exported; 1 takes the newest weights."""
    actor_hidden: tuple[int, ...] = (300, 300, 300)
    critic_hidden: tuple[int, ...] = (300, 300, 300)
    encoder_hidden: tuple[int, ...] = (200, 200, 200)
    next_observation_in_context: bool = False
    deterministic_latent: bool = False
    """Without the bottleneck: z is the mean of the encoder's outputs, nothing is sampled, "prior" z is 0 (sac_v1)."""
    recurrent_encoder: bool = False
    """The encoder reads transitions in the order lived, with a state that starts anew in each episode."""
    recurrent_window: int = 64
    """Transitions at the end of each episode of a context that the recurrent encoder learns from; the state before
    them is taken as given (truncated backpropagation through time)."""
    control: Literal["none", "oracle", "recurrent", "blind"] = "none"
    """Against what meta-learning is held: `oracle` is the same SAC told the task itself in place of z; `recurrent` is
    the same SAC on what a recurrent network makes of the context, without bottleneck, sampling or auxiliary loss;
    `blind` is the same SAC on all tasks at once, its z always 0."""
    prior_in_product: bool = False
    layer_norm: bool = False
    """Layer-normalised critics and encoder."""
    critic_kind: Literal["plain", "simba", "batch_norm"] = "plain"
    """plain: a multi-layer perceptron. simba: residual blocks (Lee et al. 2025), as many as `critic_hidden` has widths,
    all alike. batch_norm: batch-renormalised layers and no target network (CrossQ, Bhatt et al. 2024); sac_v2."""
    normalise_observations: bool = False
    """All networks see observations less their mean and over their standard deviation, of all that was collected so
    far (sac_v2, not for a recurrent encoder); a bundle's weights take observations as they are."""
    method: Literal["sac_v1", "sac_v2"] = "sac_v1"
    """sac_v1: twin Q, V and target V, fixed temperature 1 (the paper). sac_v2: twin target Q, tuned temperature."""
    relabel: bool = False
    """Hindsight task relabelling: every transition serves every task, its reward recomputed from measured signals."""
    relabelled_tasks: int = 0
    """Tasks drawn afresh from the family when the run begins, to which transitions are relabelled beside the training
    tasks; they are never visited, so they cost no environment step (needs relabelling)."""
    potential_weight: float = 0.0
    """Weight of the family's potential in the rewards of RL batches, which leaves the best policy as it is."""
    known_effort: bool = False
    """Critics take off what the action costs by itself, as the family says it (`effort_weight`), and learn the rest
    (sac_v2): that cost is small beside all later rewards, and lost in a network's errors."""
    reward_prediction_weight: float = 0.0
    """Weight of an auxiliary head that predicts the reward from (s, a, s', z); shapes z directly."""
    transition_prediction_weight: float = 0.0
    """Weight of an auxiliary head that predicts the next observation from (s, a, z) (sac_v2); shapes z where the task
    is hidden in how worlds move."""
    goal_relabel_share: float = 0.0
    """Share of RL transitions shown under a fresh visible goal, the body staying its own; without relabelling only."""
    bellman_gradient_to_encoder: bool = True
    """Whether the encoder learns from the Q regression, as in the paper; needs reward prediction when off."""
    early_context_weight: float = 0.0
    """Weight of making the posterior of uninformed early contexts cover what informative ones of the same task say
    (sac_v2 with relabelling); without it a context that says little is taken for a sharp answer."""
    privileged_share: float = 0.0
    """Share of the tasks of a batch whose z comes from an embedding of the task itself (sac_v2). Actor and critics
    then learn from clean hypotheses from the start, and the encoder learns to infer them from context."""
    inference_weight: float = 1.0
    """Weight of KL(embedding || posterior), which teaches the encoder; without an embedding it plays no part."""
    distillation_updates: int = 0
    """Updates after the last iteration in which encoder and actor together imitate the actor that is told the task."""
    distillation_learning_rate: float = 1e-3
    """Falls linearly over the second half of the distillation."""
    distillation_kl_weight: float = 1e-4
    """Weight of the information bottleneck in the distillation, beside the squared error of actions."""
    rewarded_context_share: float = 0.0
    """Share of contexts chosen, with their tasks, to hold sparse reward; needs relabelling."""
    hypotheses_per_episode: int = 1
    """How many hypotheses an exploring episode of the exported policy tries, one after the other; where there is an
    embedding."""
    noise_exponent: float = 0.0
    """How the noise on actions in collected episodes hangs together from step to step: its power falls as frequency to
    the minus this. 0 is white noise, as in the paper, 1 is pink."""
    target_entropy_per_action: float = -1.0
    initial_temperature: float = 1.0
    """Weight of the entropy at the start (sac_v2), tuned from there on."""
    policy_delay: int = 1
    """Critic updates per actor update (sac_v2)."""
    replay_capacity: int = 1_000_000
    """Transitions that are kept, the newest ones: of each task, or of all together when relabelling."""
    context_window_visits: int = 2000
    """How many recent task visits feed contexts when relabelling."""
    reduced_precision: bool = False
    """bfloat16 matrix products in updates, where the processor has them."""
    native_networks: bool = True
    """With reduced precision on a CPU, networks in C++, built for it; else PyTorch's operations."""
    cuda_graph: bool = True
    """On a CUDA device, record each update once and replay it; without, operations are launched one by one."""
    collection: CollectionConfig = field(default_factory=CollectionConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        """Checks every number and what goes together.

        Raises:
            InvalidValueError: Naming the field, what was got and what is allowed.
        """
        check_ranges(self)
        check_combinations(self)

    @property
    def infers(self) -> bool:
        """Whether z comes from context; an oracle's is the task, and a blind policy's is always 0."""
        return self.control in ("none", "recurrent")

    @property
    def has_bottleneck(self) -> bool:
        """Whether z is sampled from a posterior that is kept close to the prior."""
        return self.control == "none" and not self.deterministic_latent

    def to_dict(self) -> dict[str, Any]:
        """Plain data for YAML."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PearlConfig:
        """Rebuilds a configuration from `to_dict`.

        Raises:
            InvalidValueError: If a key is unknown.
        """
        known = {item.name for item in dataclasses.fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise InvalidValueError(f"unknown settings {unknown}; known: {sorted(known)}")
        values = dict(data)
        for name in ("actor_hidden", "critic_hidden", "encoder_hidden"):
            if name in values:
                values[name] = tuple(values[name])
        if "collection" in values:
            values["collection"] = CollectionConfig(**values["collection"])
        if "evaluation" in values:
            values["evaluation"] = EvaluationConfig(**values["evaluation"])
        return cls(**values)
