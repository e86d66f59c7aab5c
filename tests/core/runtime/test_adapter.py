# SPDX-License-Identifier: Apache-2.0
"""The adapter acts finitely, adapts in a stream as in a batch, and continues from a save to the bit."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_rl_core.belief import TaskBelief
from meta_rl_core.bundle import Bundle
from meta_rl_core.errors import InvalidValueError, NonFiniteError, PitayaError
from meta_rl_core.families.dclaw_turn import make_robot
from meta_rl_core.runtime.adapter import Adapter
from meta_rl_core.runtime.context import Transition
from tests.helpers.bundles import make_random_bundle

OBSERVATION, ACTION = make_robot().observation_dim, make_robot().action_dim


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_random_bundle(tmp_path_factory.mktemp("bundle") / "policy")


@pytest.fixture(scope="module")
def dynamics_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_random_bundle(
        tmp_path_factory.mktemp("bundle") / "policy", next_observation_in_context=True, prior_in_product=True
    )


def make_transitions(bundle: Bundle, count: int, seed: int = 0) -> list[Transition]:
    generator = np.random.default_rng(seed)
    size, actions = bundle.manifest.observation_dim, bundle.manifest.action_dim
    return [
        Transition(
            generator.normal(size=size),
            generator.uniform(-1, 1, size=actions),
            float(generator.normal(scale=10.0)),
            generator.normal(size=size),
        )
        for _ in range(count)
    ]


def observe_all(bundle: Bundle, transitions: list[Transition]) -> TaskBelief:
    adapter = Adapter(bundle, seed=0)
    for transition in transitions:
        adapter.observe(transition)
    return adapter.belief


def test_two_episodes_explore_from_the_prior_and_the_third_uses_the_posterior(bundle: Bundle) -> None:
    adapter = Adapter(bundle, seed=3)
    expected = np.random.Generator(np.random.PCG64(3))
    assert (adapter.episode, adapter.exploring) == (-1, True)
    assert adapter.begin_episode().tolist() == expected.standard_normal(5).tolist()
    for transition in make_transitions(bundle, 40):
        adapter.observe(transition)
    assert adapter.begin_episode().tolist() == expected.standard_normal(5).tolist()
    assert (adapter.episode, adapter.exploring) == (1, True)
    belief = adapter.belief
    z = adapter.begin_episode()
    assert (adapter.episode, adapter.exploring) == (2, False)
    assert z.tolist() == (belief.mean + belief.std * expected.standard_normal(5)).tolist()


def test_a_changed_task_is_explored_again_from_the_next_episode_on(bundle: Bundle) -> None:
    adapter = Adapter(bundle, seed=3)
    expected = np.random.Generator(np.random.PCG64(3))
    for _ in range(3):
        z = adapter.begin_episode()
        expected.standard_normal(5)
        for transition in make_transitions(bundle, 10):
            adapter.observe(transition)
    adapter.forget_task()
    assert (adapter.belief.transitions, adapter.belief.mean.tolist()) == (0, [0.0] * 5)
    assert adapter.z.tolist() == z.tolist()  # the episode goes on
    adapter.act(np.zeros(OBSERVATION))
    adapter.observe(make_transitions(bundle, 1)[0])
    assert adapter.begin_episode().tolist() == expected.standard_normal(5).tolist()
    assert adapter.begin_episode().tolist() == expected.standard_normal(5).tolist()
    assert (adapter.episode, adapter.exploring) == (1, True)
    belief = adapter.belief
    again = Adapter(bundle, seed=0)
    again.restore(adapter.save())
    assert adapter.begin_episode().tolist() == again.begin_episode().tolist()
    assert adapter.z.tolist() == (belief.mean + belief.std * expected.standard_normal(5)).tolist()


def test_the_mean_can_stand_for_the_sample(bundle: Bundle) -> None:
    adapter = Adapter(bundle, seed=0, sampling="mean", exploration_episodes=0)
    assert adapter.begin_episode().tolist() == [0.0] * 5
    belief = observe_all(bundle, make_transitions(bundle, 7))
    for transition in make_transitions(bundle, 7):
        adapter.observe(transition)
    assert adapter.begin_episode().tolist() == belief.mean.tolist()


@pytest.mark.parametrize("which", ["bundle", "dynamics_bundle"])
@settings(deadline=None, max_examples=30)
@given(count=st.integers(1, 60), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_streaming_equals_the_batch_product_in_any_order(
    which: str, request: pytest.FixtureRequest, count: int, seed: int, data: Any
) -> None:
    policy = request.getfixturevalue(which)
    transitions = make_transitions(policy, count, seed)
    adapter = Adapter(policy, seed=0)
    factors = [adapter.factor(transition) for transition in transitions]
    mean, variance = (np.stack(values) for values in zip(*factors, strict=True))
    precision = (1.0 / variance).sum(axis=0) + (1.0 if policy.manifest.prior_in_product else 0.0)
    order = data.draw(st.permutations(range(count)))
    belief = observe_all(policy, [transitions[index] for index in order])
    np.testing.assert_allclose(belief.mean, (mean / variance).sum(axis=0) / precision, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(belief.variance, 1.0 / precision, rtol=1e-6)
    assert belief.transitions == count


def test_the_next_observation_matters_only_where_the_bundle_says_so(
    bundle: Bundle, dynamics_bundle: Bundle
) -> None:
    for policy, matters in ((bundle, False), (dynamics_bundle, True)):
        (transition,) = make_transitions(policy, 1)
        moved = transition._replace(next_observation=transition.next_observation + 1.0)
        adapter = Adapter(policy, seed=0)
        same = adapter.factor(transition)[0].tolist() == adapter.factor(moved)[0].tolist()
        assert same is not matters


def test_the_same_seed_gives_the_same_bits(bundle: Bundle) -> None:
    runs = []
    for _ in range(2):
        adapter = Adapter(bundle, seed=5)
        log = b""
        for episode in range(4):
            log += adapter.begin_episode().tobytes()
            for transition in make_transitions(bundle, 10, seed=episode):
                log += (
                    adapter.act(transition.observation).tobytes() + adapter.observe(transition).mean.tobytes()
                )
        runs.append(log)
    assert runs[0] == runs[1]


def test_acting_is_tanh_of_the_actor_mean(bundle: Bundle) -> None:
    adapter = Adapter(bundle, seed=0)
    z = adapter.begin_episode()
    observation = np.linspace(-1.0, 1.0, OBSERVATION, dtype=np.float64)
    action = adapter.act(observation)
    outputs = bundle.actor()(np.concatenate([observation, z]))
    assert action.tolist() == np.tanh(outputs[:9]).tolist()
    assert action.dtype == np.float64


anything = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True)


@settings(deadline=None)
@given(observation=st.lists(anything, min_size=OBSERVATION, max_size=OBSERVATION))
def test_no_observation_leads_to_a_non_finite_action(bundle: Bundle, observation: list[float]) -> None:
    adapter = Adapter(bundle, seed=0)
    adapter.begin_episode()
    try:
        action = adapter.act(np.array(observation))
    except NonFiniteError:
        return
    assert np.isfinite(observation).all()
    assert (np.abs(action) <= 1.0).all()


@settings(deadline=None)
@given(number=anything, where=st.integers(0, 2 * OBSERVATION + ACTION))
def test_no_transition_leads_to_a_non_finite_belief(bundle: Bundle, number: float, where: int) -> None:
    adapter = Adapter(bundle, seed=0)
    numbers = np.linspace(-1.0, 1.0, 2 * OBSERVATION + ACTION + 1, dtype=np.float64)
    numbers[where] = number
    before = adapter.belief
    try:
        observation, action, rest = np.split(numbers, [OBSERVATION, OBSERVATION + ACTION])
        after = adapter.observe(Transition(observation, action, float(rest[0]), rest[1:]))
    except PitayaError:
        assert adapter.belief is before
        return
    assert np.isfinite(number)
    assert np.isfinite(after.mean).all()
    assert np.isfinite(after.std).all()


def test_wrong_shapes_and_options_are_refused(bundle: Bundle) -> None:
    adapter = Adapter(bundle, seed=0)
    with pytest.raises(InvalidValueError, match="begin_episode"):
        adapter.act(np.zeros(OBSERVATION))
    adapter.begin_episode()
    with pytest.raises(InvalidValueError, match=rf"observation must have shape \({OBSERVATION},\)"):
        adapter.act(np.zeros(OBSERVATION - 1))
    with pytest.raises(InvalidValueError, match=r"action must have shape \(9,\)"):
        adapter.observe(Transition(np.zeros(OBSERVATION), np.zeros(8), 0.0, np.zeros(OBSERVATION)))
    for options in (
        {"seed": -1},
        {"seed": 1.5},
        {"seed": 0, "sampling": "mode"},
        {"seed": 0, "exploration_episodes": -1},
    ):
        with pytest.raises(InvalidValueError):
            Adapter(bundle, **options)


def test_an_adapter_continues_from_a_save_to_the_bit(bundle: Bundle) -> None:
    original = Adapter(bundle, seed=11)
    for episode in range(3):
        original.begin_episode()
        for transition in make_transitions(bundle, 13, seed=episode):
            original.observe(transition)
    saved = json.loads(json.dumps(original.save()))
    copy = Adapter(bundle, seed=999)
    copy.restore(saved)
    assert copy.z.tobytes() == original.z.tobytes()
    assert (copy.episode, copy.belief.transitions) == (2, 39)
    for adapter_pair in zip(*(self_and_future(adapter, bundle) for adapter in (original, copy)), strict=True):
        assert adapter_pair[0] == adapter_pair[1]


def self_and_future(adapter: Adapter, bundle: Bundle) -> list[bytes]:
    log = []
    for episode in range(3):
        log.append(adapter.begin_episode().tobytes())
        for transition in make_transitions(bundle, 5, seed=100 + episode):
            log.append(adapter.act(transition.observation).tobytes())
            log.append(adapter.observe(transition).evidence_precision.tobytes())
    return log


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bundle_hash": "0" * 64}, "belongs to the policy"),
        ({"state_version": 2}, "state_version"),
        ({"z": [0.0]}, "z must have 5 numbers"),
        ({"evidence_precision": [1.0, 1.0, 1.0, 1.0, -1.0]}, "negative"),
        ({"evidence_precision": [1.0, 1.0, 1.0, 1.0, math.nan]}, "finite"),
        ({"evidence_precision_mean": [1.0, 1.0, 1.0, 1.0, math.inf]}, "finite"),
        ({"transitions": 0}, "no evidence"),
        ({"prior_in_product": True}, "prior_in_product"),
        ({"generator": {"state": 1, "inc": 2, "has_uint32": 0, "uinteger": 0}}, "odd"),
        ({"extra": 1}, "unknown keys"),
    ],
)
def test_a_damaged_or_foreign_save_is_refused_and_changes_nothing(
    bundle: Bundle, changes: dict[str, Any], message: str
) -> None:
    adapter = Adapter(bundle, seed=0)
    adapter.begin_episode()
    adapter.observe(make_transitions(bundle, 1)[0])
    before = adapter.save()
    with pytest.raises(PitayaError, match=message):
        adapter.restore({**before, **changes})
    assert adapter.save() == before


def test_resetting_forgets_the_task_and_can_start_the_stream_anew(bundle: Bundle) -> None:
    adapter = Adapter(bundle, seed=4)
    first = adapter.begin_episode().tolist()
    adapter.observe(make_transitions(bundle, 1)[0])
    adapter.reset_belief()
    assert (adapter.episode, adapter.belief.transitions) == (-1, 0)
    assert adapter.begin_episode().tolist() != first
    adapter.reset_belief(seed=4)
    assert adapter.begin_episode().tolist() == first


def test_the_policy_cannot_be_changed_through_z(bundle: Bundle, tmp_path: Path) -> None:
    adapter = Adapter(bundle, seed=0)
    with pytest.raises(ValueError, match="read-only"):
        adapter.begin_episode()[0] = 1.0
