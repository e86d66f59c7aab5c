# SPDX-License-Identifier: Apache-2.0
"""Acts and adapts: observation to action, transition to belief; driven by node, evaluator and replay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from meta_rl_core.belief import TaskBelief
from meta_rl_core.errors import InvalidValueError, NonFiniteError
from meta_rl_core.runtime.adapter_state import AdapterState, read_state, state_to_dict
from meta_rl_core.runtime.context import Transition, context_row
from meta_rl_core.runtime.hypotheses import along_a_path, covering_hypotheses
from meta_rl_core.runtime.inference import deterministic_action, gaussian_factor
from meta_rl_core.runtime.safety_filter import authority
from meta_rl_core.runtime.vectors import all_finite

if TYPE_CHECKING:
    from meta_rl_core.bundle import Bundle

Array = NDArray[np.float64]
Sampling = Literal["sample", "mean"]
SAMPLINGS: tuple[str, ...] = get_args(Sampling)
Exploration = Literal["prior", "cover"]
EXPLORATIONS: tuple[str, ...] = get_args(Exploration)
MOST_TRIES = 64
MOST_EPISODES = 2**31 - 1


class Adapter:
    """A policy, its belief about the task at hand, and the hypothesis z it acts on.

    Follows the paper's evaluation protocol: z is fixed within an episode; the first `exploration_episodes`
    draw it from the prior N(0, I) or, where the bundle knows them, try hypotheses that cover the tasks, one or
    several after one another; later ones draw it from the posterior given all transitions so far; actions are
    deterministic. The same bundle, seed and inputs give the same bits.
    """

    def __init__(
        self,
        bundle: Bundle,
        seed: int,
        sampling: Sampling = "sample",
        exploration_episodes: int = 2,
        exploration: Exploration | None = None,
        hypotheses_per_episode: int | None = None,
        *,
        least_authority: float = 1.0,
    ) -> None:
        """Starts with the prior belief and no episode.

        Args:
            bundle: A loaded policy.
            seed: Decides every sampled z.
            sampling: After exploration, act on a posterior sample (the paper) or on the posterior mean.
            exploration_episodes: How many episodes come before the belief is acted on.
            exploration: What those act on: `prior` samples N(0, I), as in the paper; `cover` tries hypotheses that
                together cover the training tasks. By default `cover` where the bundle holds hypotheses.
            hypotheses_per_episode: How many of those one exploring episode tries; as the bundle says by default.
            least_authority: Share of each step that may be used under the prior, in (0, 1]; see `authority`.

        Raises:
            InvalidValueError: If an option is out of range, or the bundle has no hypotheses to cover with.
        """
        if sampling not in SAMPLINGS:
            raise InvalidValueError(f"sampling must be one of {', '.join(SAMPLINGS)}, got {sampling!r}")
        if not 0 <= exploration_episodes <= MOST_EPISODES:
            raise InvalidValueError(
                f"exploration_episodes must lie in [0, {MOST_EPISODES}], got {exploration_episodes}"
            )
        self.bundle = bundle
        self.least_authority = least_authority
        self.sampling: Sampling = sampling
        self.exploration_episodes = exploration_episodes
        self._manifest = bundle.manifest
        self._actor, self._encoder = bundle.actor(), bundle.encoder()
        self._generator = _generator(seed)
        self._belief = self._prior()
        self._episodes_begun = self._steps = 0
        self._z: Array | None = None
        each = hypotheses_per_episode or bundle.manifest.hypotheses_per_episode
        self.exploration, self._tries = _exploration(bundle, exploration, exploration_episodes, each)

    @property
    def belief(self) -> TaskBelief:
        """What is known about the task."""
        return self._belief

    @property
    def authority(self) -> float:
        """Share of the allowed step that the policy may use by what is known now; grows as the belief narrows."""
        return 1.0 if self.least_authority == 1.0 else authority(self._belief.std, self.least_authority)

    @property
    def z(self) -> Array:
        """The hypothesis acted on in this episode, shape (latent,), read-only.

        Raises:
            InvalidValueError: If no episode has begun.
        """
        if self._z is None:
            raise InvalidValueError("no episode has begun: call begin_episode first")
        return self._z

    @property
    def episode(self) -> int:
        """Index of the present episode since the last reset; -1 before the first."""
        return self._episodes_begun - 1

    @property
    def exploring(self) -> bool:
        """Whether the present (or, before it begins, the first) episode acts on a prior sample."""
        return max(self.episode, 0) < self.exploration_episodes

    def begin_episode(self, *, keep_z: bool = False) -> Array:
        """Draws the episode's z, shape (latent,); or goes on with the present one, where adaptation is paused."""
        if keep_z and self._z is not None:
            z = self._z
        elif self._episodes_begun < self.exploration_episodes:
            z = self._exploring_z()
        elif self.sampling == "mean":
            z = self._belief.mean
        else:
            z = self._belief.sample(self._generator)
        self._episodes_begun += 1
        self._steps = 0
        self._z = _frozen(z)
        return self._z

    def _exploring_z(self) -> Array:
        if self.exploration == "cover":
            return self._tries[self._episodes_begun % len(self._tries)][0]
        return self._generator.standard_normal(self._manifest.latent_dim)

    def _try_next(self) -> None:
        """Goes on to the next hypothesis of an exploring episode that tries several; each gets as many steps."""
        count = self._tries.shape[1]
        part = min(self._steps * count // self._manifest.horizon, count - 1)
        if part == 0 or not self.exploring:
            return
        former, following = self._tries[(self._episodes_begun - 1) % len(self._tries)][part - 1 : part + 1]
        # Otherwise the episode goes on with the z of an earlier one.
        if np.array_equal(self.z, former):
            self._z = _frozen(following)

    def act(self, observation: Array) -> Array:
        """Deterministic action for an observation of shape (O,): tanh of the actor's mean, shape (A,).

        Raises:
            InvalidValueError: If the shape is wrong or no episode has begun.
            NonFiniteError: If the observation, or what the network makes of it, is NaN or infinite.
        """
        observation = self._checked("observation", observation, self._manifest.observation_dim)
        self._try_next()
        with np.errstate(all="ignore"):
            outputs = self._actor(np.concatenate([observation, self.z]))
            if not all_finite(outputs):
                largest = np.abs(observation).max()
                raise NonFiniteError(
                    f"the actor has no finite answer to an observation of up to {largest:.3g}"
                )
            self._steps += 1
            return deterministic_action(outputs)

    def observe(self, transition: Transition) -> TaskBelief:
        """Adds one transition to the belief, in time and memory that do not grow with the context.

        Raises:
            InvalidValueError: If a shape is wrong.
            NonFiniteError: If a number is NaN or infinite; the belief is unchanged.
        """
        factor_mean, factor_variance = self.factor(transition)
        self._belief = self._belief.observe(factor_mean, factor_variance)
        return self._belief

    def factor(self, transition: Transition) -> tuple[Array, Array]:
        """Mean and variance of a transition's Gaussian factor, each (latent,).

        Raises:
            InvalidValueError: If a shape is wrong.
            NonFiniteError: If a number is NaN or infinite, on the way in or out.
        """
        manifest = self._manifest
        observation = self._checked("observation", transition.observation, manifest.observation_dim)
        action = self._checked("action", transition.action, manifest.action_dim)
        reward = self._checked("reward", np.reshape(transition.reward, -1), 1)[0]
        following = self._checked("next observation", transition.next_observation, manifest.observation_dim)
        row = context_row(
            observation,
            action,
            reward,
            following if manifest.next_observation_in_context else None,
            manifest.reward_scale_in_context,
        )
        with np.errstate(all="ignore"):
            factor_mean, factor_variance = gaussian_factor(self._encoder(row))
        if not (np.isfinite(factor_mean).all() and np.isfinite(factor_variance).all()):
            largest = np.abs(row).max()
            raise NonFiniteError(f"the encoder has no finite answer to a transition of up to {largest:.3g}")
        return factor_mean, factor_variance

    def reset_belief(self, seed: int | None = None) -> None:
        """Forgets the task: prior belief, no episode. The random stream goes on unless given a new `seed`."""
        if seed is not None:
            self._generator = _generator(seed)
        self._belief = self._prior()
        self._episodes_begun = self._steps = 0
        self._z = None

    def believe(self, belief: TaskBelief) -> None:
        """Goes on with a belief that this adapter held before."""
        self._belief = belief

    def forget_task(self) -> None:
        """Another task has begun: prior belief; the next episodes explore, the present one goes on with its z."""
        self._belief = self._prior()
        self._episodes_begun = 0

    def save(self) -> dict[str, Any]:
        """Everything that decides what comes next, as JSON; `restore` continues with the same bits."""
        return state_to_dict(self.snapshot())

    def snapshot(self) -> AdapterState:
        """The same as immutable values; cheap enough for every tick."""
        return AdapterState(
            self.bundle.hash,
            self._belief,
            self._z,
            self._episodes_begun,
            self._generator.bit_generator.state,
            self._steps,
        )

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continues from what `save` gave; on an error nothing changes.

        Raises:
            InvalidValueError: If it is damaged or belongs to another bundle.
            NonFiniteError: If it holds NaN or infinity.
        """
        state = read_state(
            saved, self.bundle.hash, self._manifest.latent_dim, self._manifest.prior_in_product
        )
        generator = np.random.Generator(np.random.PCG64())
        generator.bit_generator.state = state.generator
        self._generator = generator
        self._belief, self._episodes_begun, self._steps = state.belief, state.episodes_begun, state.steps
        self._z = None if state.z is None else _frozen(state.z)

    def _prior(self) -> TaskBelief:
        return TaskBelief.prior(self._manifest.latent_dim, self._manifest.prior_in_product)

    def _checked(self, what: str, values: Array, size: int) -> Array:
        numbers = np.asarray(values, dtype=np.float64)
        if numbers.shape != (size,):
            raise InvalidValueError(f"{what} must have shape ({size},), got {numbers.shape}")
        if not all_finite(numbers):
            raise NonFiniteError(f"{what} must be finite, got {numbers.tolist()}")
        return numbers


def _exploration(
    bundle: Bundle, asked: Exploration | None, episodes: int, each: int
) -> tuple[Exploration, Array]:
    """How to explore, and the hypotheses to try, shape (episodes, hypotheses per episode, latent)."""
    known, latent_dim = bundle.hypotheses, bundle.manifest.latent_dim
    none: Array = np.empty((0, 1, latent_dim))
    if asked is not None and asked not in EXPLORATIONS:
        raise InvalidValueError(f"exploration must be one of {', '.join(EXPLORATIONS)}, got {asked!r}")
    if known is None:
        if asked == "cover":
            raise InvalidValueError(
                f"bundle {bundle.manifest.name!r} holds no hypotheses to cover the tasks with; use exploration 'prior'"
            )
        return "prior", none
    if asked == "prior":
        return "prior", none
    if not 1 <= each <= MOST_TRIES:
        raise InvalidValueError(f"hypotheses_per_episode must lie in [1, {MOST_TRIES}], got {each}")
    tries = covering_hypotheses(known, each * min(episodes, MOST_TRIES // each))
    # What one episode tries lies side by side, so that the way from one to the next is short and searched as well.
    return "cover", (tries if each == 1 else along_a_path(tries)).reshape(-1, each, latent_dim)


def _generator(seed: int) -> np.random.Generator:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InvalidValueError(f"seed must be a whole number from 0, got {seed!r}")
    return np.random.Generator(np.random.PCG64(int(seed)))


def _frozen(values: Array) -> Array:
    frozen = np.array(values, dtype=np.float64)
    frozen.flags.writeable = False
    return frozen
