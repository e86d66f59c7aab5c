# SPDX-License-Identifier: Apache-2.0
"""The evaluator follows the paper's protocol, task by task, and counts what it says it counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meta_rl_core.bundle import Bundle, write_bundle
from meta_rl_core.errors import BundleError, InvalidValueError
from meta_rl_core.runtime.adapter import Adapter
from meta_rl_core.runtime.context import Transition
from meta_rl_core.runtime.evaluator import Protocol, evaluate_bundle
from meta_rl_core.runtime.inference import Network
from meta_rl_core.runtime.layers import Layer
from meta_rl_core.runtime.report import conditional_value_at_risk, report_scores
from tests.helpers.bundles import make_golden, random_parts_of
from tests.helpers.toy_family import LineFamily


def make_line_bundle(directory: Path, family: LineFamily, **options: Any) -> Bundle:
    return write_bundle(directory, *random_parts_of(family.spec, family.reward_model, **options))


def make_constant_bundle(directory: Path, family: LineFamily, action: float) -> Bundle:
    """A policy that always does `action`, whatever it sees."""
    fields, _, _ = random_parts_of(family.spec, family.reward_model)
    # Observation and 5 latents to mean and log std; observation, action and reward to 5 means and variances.
    actor, encoder = (Layer("linear", 6, 2),), (Layer("linear", 3, 10),)
    fields["networks"] = {
        "actor": {"layers": [layer.to_dict() for layer in actor]},
        "encoder": {"layers": [layer.to_dict() for layer in encoder]},
    }
    weights = {
        "actor.0.weight": np.zeros((2, 6)),
        "actor.0.bias": np.array([np.arctanh(action), 0.0]).astype(np.float32).astype(np.float64),
        "encoder.0.weight": np.zeros((10, 3)),
        "encoder.0.bias": np.zeros(10),
    }
    networks = Network(actor, weights, "actor"), Network(encoder, weights, "encoder")
    golden = make_golden(fields, *networks, np.random.default_rng(0))
    return write_bundle(directory, fields, weights, golden)


def test_an_evaluation_worked_out_by_hand(tmp_path: Path) -> None:
    family = LineFamily(horizon=3)
    bundle = make_constant_bundle(tmp_path / "policy", family, 0.5)
    result = evaluate_bundle(
        bundle, family, np.array([[0.3], [-0.1]]), Protocol(episodes=2, exploration_episodes=1)
    )
    # Positions 0.1, 0.2, 0.3. Goal 0.3: errors 0.2, 0.1, 0. Goal -0.1: errors 0.2, 0.3, 0.4.
    np.testing.assert_allclose(result.returns, [[-0.3, -0.3], [-0.9, -0.9]], atol=1e-6)
    np.testing.assert_allclose(result.final_error, [[0.0, 0.0], [0.4, 0.4]], atol=1e-6)
    assert result.success.tolist() == [[True, True], [False, False]]
    assert result.env_steps == 2 * 2 * 3


def test_an_episode_that_ends_early_counts_only_until_its_end(tmp_path: Path) -> None:
    family = LineFamily(horizon=5, edge=0.15)
    bundle = make_constant_bundle(tmp_path / "policy", family, 0.5)
    result = evaluate_bundle(bundle, family, np.array([[0.3]]), Protocol(episodes=1, exploration_episodes=0))
    # It falls at 0.2, after two steps: errors 0.2 and 0.1.
    np.testing.assert_allclose(result.returns, [[-0.3]], atol=1e-6)
    np.testing.assert_allclose(result.final_error, [[0.1]], atol=1e-6)
    assert result.env_steps == 2


@pytest.mark.parametrize("sparse", [False, True])
def test_it_does_what_one_adapter_alone_would_do(tmp_path: Path, sparse: bool) -> None:
    family = LineFamily(horizon=4, sparse=sparse)
    bundle = make_line_bundle(tmp_path / "policy", family)
    protocol = Protocol(episodes=4, exploration_episodes=2, seed=9)
    tasks = np.array([[0.5], [-0.2]])
    result = evaluate_bundle(bundle, family, tasks, protocol)
    for index, task in enumerate(tasks):
        seed = int(np.random.SeedSequence((9, index)).generate_state(5, np.uint64)[0] >> np.uint64(1))
        adapter = Adapter(bundle, seed)
        for episode in range(4):
            adapter.begin_episode()
            worlds = family.make_worlds(1)
            observation, total = worlds.reset(task[None], np.zeros(1, dtype=np.int64))[0], 0.0
            for _ in range(4):
                action = adapter.act(observation)
                step = worlds.step(action[None])
                judged = family.reward_model.judge(step.signals[0], action, task)
                reward = judged.sparse_reward if sparse else judged.reward
                adapter.observe(Transition(observation, action, float(reward), step.observation[0]))
                observation, total = step.observation[0], total + float(judged.reward)
            assert result.returns[index, episode] == total


def test_a_task_fares_the_same_however_many_others_there_are(tmp_path: Path) -> None:
    family = LineFamily()
    bundle = make_line_bundle(tmp_path / "policy", family)
    tasks = family.heldout_tasks(7, 1)
    protocol = Protocol(seed=3)
    many, few = (evaluate_bundle(bundle, family, chosen, protocol) for chosen in (tasks, tasks[:2]))
    assert many.returns[:2].tobytes() == few.returns.tobytes()
    assert evaluate_bundle(bundle, family, tasks, protocol).returns.tobytes() == many.returns.tobytes()
    other = evaluate_bundle(bundle, family, tasks, Protocol(seed=4))
    assert other.returns.tobytes() != many.returns.tobytes()


def test_the_sampling_option_changes_adapted_episodes_only(tmp_path: Path) -> None:
    family = LineFamily()
    bundle = make_line_bundle(tmp_path / "policy", family)
    tasks = family.heldout_tasks(4, 1)
    sample, mean = (
        evaluate_bundle(bundle, family, tasks, Protocol(sampling=sampling)).returns
        for sampling in ("sample", "mean")
    )
    assert sample[:, :2].tobytes() == mean[:, :2].tobytes()
    assert sample[:, 2].tobytes() != mean[:, 2].tobytes()


def test_the_control_on_the_prior_never_acts_on_what_it_saw(tmp_path: Path) -> None:
    family = LineFamily()
    bundle = make_line_bundle(tmp_path / "policy", family)
    tasks = family.heldout_tasks(4, 1)
    control = Protocol(episodes=4, sampling="prior", seed=2)
    # Three episodes of exploring and one that is adapted share their first three draws of z with the control.
    exploring = Protocol(episodes=4, exploration_episodes=3, exploration="prior", seed=2)
    unadapted, adapted = (evaluate_bundle(bundle, family, tasks, p) for p in (control, exploring))
    assert unadapted.returns[:, :3].tobytes() == adapted.returns[:, :3].tobytes()
    assert unadapted.returns[:, 3].tobytes() != adapted.returns[:, 3].tobytes()
    drawn = np.random.Generator(np.random.PCG64(7)).standard_normal((4, 5))
    adapter = control.make_adapter(bundle, 7)
    for episode in range(4):
        assert adapter.begin_episode().tolist() == drawn[episode].tolist()
        adapter.observe(Transition(np.zeros(1), np.ones(1), -1.0, np.ones(1)))
    report = report_scores(bundle, unadapted, control)
    assert (report["sampling"], report["exploration"], report["exploration_episodes"]) == (
        "prior",
        "prior",
        4,
    )
    with pytest.raises(InvalidValueError, match="leave out exploration, got 'cover'"):
        Protocol(sampling="prior", exploration="cover")


def test_a_bundle_of_another_family_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    bundle = make_line_bundle(tmp_path / "policy", LineFamily(horizon=5))
    with pytest.raises(BundleError, match="horizon 5; the family has 6"):
        evaluate_bundle(bundle, LineFamily(horizon=6), np.zeros((1, 1)), Protocol())
    with pytest.raises(BundleError, match="context_reward dense; the family has sparse"):
        evaluate_bundle(bundle, LineFamily(horizon=5, sparse=True), np.zeros((1, 1)), Protocol())


def test_protocols_without_an_adapted_episode_are_refused(tmp_path: Path) -> None:
    wrong: list[dict[str, Any]] = [{"episodes": 2}, {"exploration_episodes": -1}, {"seed": -1}]
    for options in wrong:
        with pytest.raises(InvalidValueError):
            Protocol(**options)
    bundle = make_line_bundle(tmp_path / "policy", LineFamily())
    with pytest.raises(InvalidValueError, match="N at least 1"):
        evaluate_bundle(bundle, LineFamily(), np.zeros((0, 1)), Protocol())


def test_the_worst_five_percent_are_at_least_one_task() -> None:
    assert conditional_value_at_risk(np.array([3.0, 1.0, 2.0])) == 1.0
    # 5 % of 40 are 2 tasks: 0 and 1.
    assert conditional_value_at_risk(np.arange(40.0)[::-1]) == 0.5
    # 5 % of 100 are exactly 5 although 0.05 * 100 is not exact in binary.
    assert conditional_value_at_risk(np.arange(100.0)) == 2.0


def test_the_report_states_first_and_adapted_scores_and_how_to_repeat_them(tmp_path: Path) -> None:
    family = LineFamily(horizon=3)
    bundle = make_constant_bundle(tmp_path / "policy", family, 0.5)
    protocol = Protocol(episodes=3, exploration_episodes=2, seed=5)
    report = report_scores(
        bundle, evaluate_bundle(bundle, family, np.array([[0.3], [-0.1]]), protocol), protocol
    )
    assert report["success_rate_first"] == report["success_rate_adapted"] == 0.5
    assert report["return_adapted_mean"] == pytest.approx(-0.6)
    assert report["return_adapted_cvar5"] == pytest.approx(-0.9)
    last = report["per_episode"][-1]
    assert last["return_cvar5"] == pytest.approx(-0.9)
    assert last["sparse_return_cvar5"] == min(row[-1] for row in report["per_task"]["sparse_return"])
    assert (report["tasks"], report["episodes"], report["env_steps"], report["seed"]) == (2, 3, 18, 5)
    assert (report["family"], report["bundle_hash"]) == ("line", bundle.hash)
    assert len(report["per_episode"]) == 3
    assert report["versions"]["numpy"] == np.__version__
