# SPDX-License-Identifier: Apache-2.0
"""Which of two policies is the better one: who solves more tasks, or who earns more where a body is to run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meta_rl_core.pearl.best_policy import rank
from meta_rl_core.registry import load_family

CAREFUL = {"success_adapted": 1.0, "return_adapted": 266.0, "sparse_adapted": 3.0}
QUICK = {"success_adapted": 0.9, "return_adapted": 477.0, "sparse_adapted": 9.0}


@pytest.mark.parametrize(
    "name", ["hopper-params", "walker-params", "humanoid-dir", "ant-goal", "cheetah-vel"]
)
def test_of_running_bodies_the_one_that_earns_more_is_the_better_one(name: str) -> None:
    spec = load_family(name).spec
    assert rank(QUICK, spec) > rank(CAREFUL, spec)
    assert rank({**QUICK, "success_adapted": 0.95}, spec) > rank(QUICK, spec)


def test_of_hands_the_one_that_solves_more_is_the_better_one() -> None:
    spec = load_family("dclaw-turn").spec
    assert rank(CAREFUL, spec) > rank(QUICK, spec)
    assert rank({**CAREFUL, "return_adapted": 270.0}, spec) > rank(CAREFUL, spec)


def test_where_the_context_holds_the_sparse_reward_it_is_that_which_counts() -> None:
    spec = replace(load_family("dclaw-turn").spec, context_reward="sparse")
    assert rank({**CAREFUL, "sparse_adapted": 4.0, "return_adapted": 0.0}, spec) > rank(CAREFUL, spec)
