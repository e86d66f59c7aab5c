# SPDX-License-Identifier: Apache-2.0
"""Exploring tries hypotheses that together cover the tasks known from training, where the bundle knows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from meta_rl_core.bundle import Bundle, load_bundle, write_bundle
from meta_rl_core.errors import BundleError, InvalidValueError
from meta_rl_core.runtime.adapter import Adapter
from meta_rl_core.runtime.hypotheses import along_a_path, covering_hypotheses
from tests.helpers.bundles import random_parts

Array = NDArray[np.float64]


def line(*values: float) -> Array:
    return np.array(values)[:, None]


def tried(adapter: Adapter, steps: int) -> list[float]:
    """The first number of the z that each step acted on."""
    observation = np.zeros(adapter.bundle.manifest.observation_dim)
    seen = []
    for _ in range(steps):
        adapter.act(observation)
        seen.append(float(adapter.z[0]))
    return seen


@pytest.fixture
def knowing(tmp_path: Path) -> Bundle:
    """A bundle whose tasks lie on a line in the first dimension, at 0, 1, ... 9."""
    known = np.zeros((10, 5))
    known[:, 0] = np.arange(10)
    return write_bundle(tmp_path / "policy", *random_parts(hypotheses=known))


@pytest.fixture
def trying_two(tmp_path: Path) -> Bundle:
    """The same, an exploring episode trying two of them."""
    known = np.zeros((8, 5))
    known[:, 0] = np.arange(8)
    fields, weights, golden = random_parts(hypotheses=known)
    return write_bundle(tmp_path / "two", {**fields, "hypotheses_per_episode": 2}, weights, golden)


def test_a_path_begins_outside_and_goes_on_to_the_nearest() -> None:
    assert along_a_path(line(4.0, 0.0, 9.0, 5.0, 1.0))[:, 0].tolist() == [9.0, 5.0, 4.0, 1.0, 0.0]
    assert along_a_path(np.empty((0, 3))).shape == (0, 3)


def test_one_hypothesis_is_the_middle_of_all() -> None:
    assert covering_hypotheses(line(0.0, 1.0, 2.0, 3.0, 4.0), 1).tolist() == [[2.0]]


def test_two_groups_get_the_middle_of_each() -> None:
    chosen = covering_hypotheses(line(0.0, 1.0, 2.0, 10.0, 11.0, 12.0), 2)
    assert sorted(chosen[:, 0].tolist()) == [1.0, 11.0]


def test_five_hypotheses_leave_no_part_of_a_range_far_away() -> None:
    known = line(*np.linspace(0.0, 1.0, 101))
    chosen = covering_hypotheses(known, 5)
    nearest = np.abs(known - chosen[:, 0]).min(axis=1)
    # Five equal shares of the range end 0.1 from their middles.
    assert nearest.max() <= 0.13


def test_every_hypothesis_is_a_known_one_in_whatever_order_they_are_listed() -> None:
    known = np.random.default_rng(0).normal(size=(40, 3))
    shuffled = np.random.default_rng(1).permutation(known)
    chosen, again = (covering_hypotheses(rows, 4).tolist() for rows in (known, shuffled))
    assert sorted(chosen) == sorted(again)
    assert all(row in known.tolist() for row in chosen)


def test_more_hypotheses_than_known_repeat() -> None:
    assert covering_hypotheses(line(1.0, 2.0), 5).shape == (5, 1)
    assert covering_hypotheses(line(1.0), 3).tolist() == [[1.0]] * 3


def test_tasks_that_share_a_hypothesis_count_once() -> None:
    assert covering_hypotheses(line(1.0, 1.0, 1.0), 2).tolist() == [[1.0], [1.0]]
    chosen = covering_hypotheses(line(3.0, 3.0, 3.0, 5.0), 2)
    assert sorted(chosen[:, 0].tolist()) == [3.0, 5.0]


def test_nothing_known_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="at least 1"):
        covering_hypotheses(np.empty((0, 5)), 2)


def test_exploring_episodes_try_the_hypotheses_that_cover_the_tasks(knowing: Bundle) -> None:
    adapter = Adapter(knowing, seed=0, exploration_episodes=2)
    tried = [adapter.begin_episode()[0] for _ in range(2)]
    assert adapter.exploration == "cover"
    assert sorted(tried) == [2.0, 7.0]


def test_without_exploring_episodes_the_first_one_acts_on_the_belief(knowing: Bundle) -> None:
    adapter = Adapter(knowing, seed=0, sampling="mean", exploration_episodes=0)
    assert adapter.begin_episode().tolist() == [0.0] * 5


def test_the_prior_can_be_asked_for_instead(knowing: Bundle) -> None:
    adapter = Adapter(knowing, seed=3, exploration="prior")
    expected = np.random.Generator(np.random.PCG64(3)).standard_normal(5)
    assert adapter.begin_episode().tolist() == expected.tolist()


def test_a_reset_tries_them_anew_and_a_save_goes_on_with_the_next(knowing: Bundle) -> None:
    adapter, other = Adapter(knowing, seed=0), Adapter(knowing, seed=0)
    first = adapter.begin_episode().tolist()
    other.restore(adapter.save())
    second = other.begin_episode().tolist()
    assert first != second == adapter.begin_episode().tolist()
    adapter.reset_belief()
    assert adapter.begin_episode().tolist() == first


def test_a_bundle_without_hypotheses_cannot_cover(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "policy", *random_parts())
    assert Adapter(bundle, seed=0).exploration == "prior"
    with pytest.raises(InvalidValueError, match="holds no hypotheses"):
        Adapter(bundle, seed=0, exploration="cover")


def test_an_unknown_way_to_explore_is_refused(knowing: Bundle) -> None:
    with pytest.raises(InvalidValueError, match="one of prior, cover, got 'wild'"):
        Adapter(knowing, seed=0, exploration="wild")  # type: ignore[arg-type]


def test_a_bundle_whose_hypotheses_do_not_fit_is_refused(tmp_path: Path) -> None:
    fields, weights, golden = random_parts(hypotheses=np.zeros((4, 5)))
    for count, message in ((3, "hypotheses"), (1001, "hypotheses"), (-1, "hypotheses")):
        with pytest.raises(BundleError, match=message):
            write_bundle(tmp_path / "policy", {**fields, "hypotheses": count}, weights, golden)
    with pytest.raises(BundleError, match="hypotheses"):
        write_bundle(tmp_path / "policy", {**fields, "hypotheses": 0}, weights, golden)


def test_a_bundle_with_a_hypothesis_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    known = np.zeros((4, 5))
    known[2, 1] = np.nan
    with pytest.raises(BundleError, match="hypotheses"):
        write_bundle(tmp_path / "policy", *random_parts(hypotheses=known))


def test_a_bundle_from_before_hypotheses_still_loads(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "policy", *random_parts())
    assert "hypotheses" not in (tmp_path / "policy" / "manifest.json").read_text()
    assert load_bundle(bundle.path).hypotheses is None


def test_an_episode_that_tries_two_hypotheses_changes_over_at_half_time_to_a_near_one(
    trying_two: Bundle,
) -> None:
    half = trying_two.manifest.horizon // 2
    adapter = Adapter(trying_two, seed=0, exploration_episodes=2)
    seen = []
    for _ in range(2):
        adapter.begin_episode()
        seen.append(tried(adapter, 2 * half))
    # Of 0 to 7 four cover the rest; each episode tries two neighbours on the path through them.
    assert all(len(set(episode[:half])) == len(set(episode[half:])) == 1 for episode in seen)
    path = [seen[0][0], seen[0][-1], seen[1][0], seen[1][-1]]
    assert path in (sorted(path), sorted(path, reverse=True))
    assert len(set(path)) == 4


def test_steps_beyond_the_horizon_stay_with_the_last_hypothesis(trying_two: Bundle) -> None:
    horizon = trying_two.manifest.horizon
    adapter = Adapter(trying_two, seed=0)
    adapter.begin_episode()
    assert len(set(tried(adapter, 3 * horizon)[horizon // 2 :])) == 1


def test_after_exploring_an_episode_keeps_its_hypothesis(trying_two: Bundle) -> None:
    adapter = Adapter(trying_two, seed=0, sampling="mean", exploration_episodes=0)
    adapter.begin_episode()
    assert set(tried(adapter, trying_two.manifest.horizon)) == {0.0}


def test_a_paused_episode_keeps_the_hypothesis_of_the_one_before(trying_two: Bundle) -> None:
    adapter = Adapter(trying_two, seed=0, exploration_episodes=2)
    adapter.begin_episode()
    last = tried(adapter, trying_two.manifest.horizon)[-1]
    adapter.begin_episode(keep_z=True)
    assert set(tried(adapter, trying_two.manifest.horizon)) == {last}


def test_a_belief_saved_within_an_episode_goes_on_to_the_same_hypothesis(trying_two: Bundle) -> None:
    half = trying_two.manifest.horizon // 2
    adapter, other = Adapter(trying_two, seed=0), Adapter(trying_two, seed=0)
    adapter.begin_episode()
    tried(adapter, half - 1)
    saved = adapter.save()
    other.restore(saved)
    assert tried(other, 3) == tried(adapter, 3)
    other.restore({key: value for key, value in saved.items() if key != "steps"})
    assert other.snapshot().steps == 0


@pytest.mark.parametrize("count", [0, 17, 1.5])
def test_a_bundle_that_tries_too_many_or_none_in_an_episode_is_refused(tmp_path: Path, count: float) -> None:
    fields, weights, golden = random_parts(hypotheses=np.zeros((4, 5)))
    with pytest.raises(BundleError, match="hypotheses_per_episode"):
        write_bundle(tmp_path / "policy", {**fields, "hypotheses_per_episode": count}, weights, golden)


def test_how_many_an_episode_tries_can_be_asked_for_instead(trying_two: Bundle) -> None:
    horizon = trying_two.manifest.horizon
    for each in (1, 3):
        adapter = Adapter(trying_two, seed=0, hypotheses_per_episode=each)
        adapter.begin_episode()
        assert len(set(tried(adapter, horizon))) == each
    with pytest.raises(InvalidValueError, match=r"hypotheses_per_episode must lie in \[1, 64\], got 65"):
        Adapter(trying_two, seed=0, hypotheses_per_episode=65)
