# SPDX-License-Identifier: Apache-2.0
"""Rewards that stay away pause adaptation: the belief and z stay, and the first reward ends the pause."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meta_rl_core.bundle import Bundle
from meta_rl_core.runtime.adapter import Adapter
from meta_rl_core.runtime.admission import AdmissionRules, Refusal, Refused, StepRecord
from meta_rl_core.runtime.pairing import MISSING_TO_PAUSE, TransitionPairing
from tests.helpers.bundles import make_random_bundle

PERIOD_NS = 100_000_000


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_random_bundle(tmp_path_factory.mktemp("bundle") / "policy")


class Stream:
    """One step per period, with its reward or without."""

    def __init__(self, timeout_s: float | None = 0.2) -> None:
        self.refused: list[Refused] = []
        self.pairing = TransitionPairing(AdmissionRules(0.1), timeout_s, on_refused=self.refused.append)
        self.steps = 0

    def step(self, *, rewarded: bool) -> None:
        stamp_ns = (self.steps + 1) * PERIOD_NS
        number = np.array([float(self.steps)])
        self.pairing.record(StepRecord(0, self.steps, stamp_ns, number, number, number))
        self.pairing.executed(stamp_ns, number)
        if rewarded:
            self.pairing.reward(stamp_ns, 1.0)
        self.pairing.release()
        self.steps += 1


def test_the_tenth_missing_reward_in_a_row_pauses_and_the_next_one_that_comes_goes_on() -> None:
    stream = Stream()
    stream.step(rewarded=True)
    while len(stream.refused) < MISSING_TO_PAUSE:
        assert not stream.pairing.paused
        stream.step(rewarded=False)
    assert stream.pairing.paused
    # Two periods are waited for, and one step is always open.
    assert stream.steps == 1 + MISSING_TO_PAUSE + 3
    while stream.pairing.paused:
        stream.step(rewarded=True)
    # When the last step without a reward is given up, three with theirs have waited behind it.
    assert stream.pairing.accepted == 3


def test_a_reward_in_between_keeps_adaptation_going() -> None:
    stream = Stream()
    for step in range(200):
        stream.step(rewarded=step % MISSING_TO_PAUSE == 0)
        assert not stream.pairing.paused
    assert stream.pairing.rejected > 150


def test_every_refusal_is_handed_on_with_the_stamp_of_its_state() -> None:
    stream = Stream()
    for step in range(8):
        stream.step(rewarded=step != 3)
    (refused,) = stream.refused
    # The reward of state 3 judges step 2, which answered the state stamped 0.3 s.
    assert refused == (0, 2, Refusal.INCOMPLETE, "these never came: the reward", 3 * PERIOD_NS)


def test_a_paused_episode_goes_on_with_its_hypothesis_and_draws_nothing(bundle: Bundle) -> None:
    paused, twin = Adapter(bundle, seed=1), Adapter(bundle, seed=1)
    z = paused.begin_episode()
    twin.begin_episode()
    assert paused.begin_episode(keep_z=True).tolist() == z.tolist()
    assert paused.episode == 1
    # The random stream stands where the twin's stands after one episode.
    assert paused.snapshot().generator == twin.snapshot().generator


def test_the_first_episode_draws_even_while_paused(bundle: Bundle, tmp_path: Path) -> None:
    assert (
        Adapter(bundle, seed=1).begin_episode(keep_z=True).tolist()
        == Adapter(bundle, seed=1).begin_episode().tolist()
    )
