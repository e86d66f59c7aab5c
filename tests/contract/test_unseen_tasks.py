# SPDX-License-Identifier: Apache-2.0
"""Tasks to report on are none of those on which a run chose its best policy."""

from __future__ import annotations

import numpy as np
import pytest

from meta_rl_core.registry import load_family
from meta_rl_core.tasks import TaskFamily
from tests.contract.test_families import FAMILIES


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> TaskFamily:
    """Each registered family once."""
    return load_family(request.param)


def test_unseen_tasks_share_none_with_the_list_on_which_runs_choose_their_best_policy(
    family: TaskFamily,
) -> None:
    unseen = family.unseen_tasks(50, 11)
    assert unseen.shape == (50, family.training_tasks().shape[1])
    if family.finite:
        return
    # Settings validate on at most 100 tasks of seed 7; `paper` on 30 of the same.
    validated = family.heldout_tasks(100, 7)
    distance = np.abs(unseen[:, None] - validated[None]).max(axis=-1)
    assert distance.min() > 1e-9
    np.testing.assert_array_equal(unseen[:7], family.unseen_tasks(7, 11))
