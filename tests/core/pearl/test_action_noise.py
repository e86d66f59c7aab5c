# SPDX-License-Identifier: Apache-2.0
"""Noise of exploring episodes: as large as white noise in every step, and further over many."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from meta_rl_core.errors import InvalidValueError
from meta_rl_core.pearl.action_noise import action_noise
from meta_rl_core.pearl.agent import Agent
from meta_rl_core.pearl.config import PearlConfig
from meta_rl_core.pearl.rollout import Explorer
from meta_rl_core.tasks import Array
from tests.helpers.toy_family import LineFamily

HORIZON = 200
WORLDS = 1000


def drawn(exponent: float, seed: int = 0) -> Array:
    """Noise of WORLDS worlds with two actions, shape (HORIZON, WORLDS, 2)."""
    noise = action_noise(exponent, HORIZON, (WORLDS, 2), np.random.default_rng(seed))
    return np.stack(list(itertools.islice(noise, HORIZON)))


def agreement(noise: Array, lag: int) -> float:
    return float(np.corrcoef(noise[:-lag].ravel(), noise[lag:].ravel())[0, 1])


def test_white_noise_is_a_plain_draw_in_every_step_to_the_bit() -> None:
    generator = np.random.default_rng(5)
    noise = action_noise(0.0, 3, (4, 2), np.random.default_rng(5))
    for _ in range(4):  # and it does not end
        np.testing.assert_array_equal(next(noise), generator.standard_normal((4, 2)))


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_noise_of_any_colour_has_mean_0_and_spread_1_in_every_step(exponent: float) -> None:
    noise = drawn(exponent)
    # Standard errors over 2,000 draws: 0.022 and 0.016. A finite series of pink noise is up to 5 % too wide.
    assert np.abs(noise.mean(axis=(1, 2))).max() < 0.1
    assert np.abs(noise.std(axis=(1, 2)) - 1.0).max() < 0.15


def test_neighbours_agree_in_pink_noise_and_not_in_white() -> None:
    assert abs(agreement(drawn(0.0), 1)) < 0.01
    assert agreement(drawn(1.0), 1) == pytest.approx(0.70, abs=0.03)
    assert agreement(drawn(1.0), 10) == pytest.approx(0.32, abs=0.05)


def test_the_power_of_pink_noise_falls_as_one_over_frequency() -> None:
    power = np.square(np.abs(np.fft.rfft(drawn(1.0), axis=0))).mean(axis=(1, 2))
    frequency = np.fft.rfftfreq(HORIZON)
    slope, _ = np.polyfit(np.log(frequency[1:-1]), np.log(power[1:-1]), 1)
    assert slope == pytest.approx(-1.0, abs=0.02)


def test_worlds_and_actions_have_noise_of_their_own() -> None:
    noise = drawn(1.0)
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(noise[:, :500].ravel(), noise[:, 500:].ravel())[0, 1]) < 0.03


def test_the_same_seed_gives_the_same_noise() -> None:
    np.testing.assert_array_equal(drawn(1.0, seed=3), drawn(1.0, seed=3))
    assert not np.array_equal(drawn(1.0, seed=3), drawn(1.0, seed=4))


def test_an_episode_of_one_step_has_noise_too() -> None:
    assert next(action_noise(1.0, 1, (4, 2), np.random.default_rng(0))).shape == (4, 2)


def lived(exponent: float, *, deterministic: bool) -> Array:
    """Actions of one episode in 2,000 worlds, shape (2000, 5)."""
    family = LineFamily()
    config = PearlConfig("line", noise_exponent=exponent, actor_hidden=(8,), encoder_hidden=(8,))
    explorer = Explorer(family, Agent(family.spec, config, generator=torch.Generator().manual_seed(0)))
    episodes = explorer.episode(
        np.ones((2000, 1)), np.zeros((2000, 5)), np.random.default_rng(0), deterministic=deterministic
    )
    return episodes.action[..., 0]


def test_collected_episodes_act_with_that_noise_and_evaluated_ones_with_none() -> None:
    white, pink = (np.corrcoef(lived(exponent, deterministic=False).T)[0, 1] for exponent in (0.0, 1.0))
    assert abs(white) < 0.1
    assert pink > 0.15  # in episodes of five steps
    np.testing.assert_array_equal(lived(0.0, deterministic=True), lived(1.0, deterministic=True))


@pytest.mark.parametrize("exponent", [-0.1, 2.1, float("nan")])
def test_an_exponent_that_no_noise_has_is_refused(exponent: float) -> None:
    with pytest.raises(InvalidValueError, match=r"noise_exponent must lie in \[0, 2\]"):
        PearlConfig("line", noise_exponent=exponent)
