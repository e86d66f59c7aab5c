# SPDX-License-Identifier: Apache-2.0
"""The benchmark of hands that do not follow tells those whose commands get lost from those that work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.following import STEPS, alarms
from meta_rl_core.runtime.following import COMMANDS

LOST_FROM = 12


@pytest.fixture
def policy(repository: Path) -> Path:
    return repository / "policies" / "dclaw-turn"


def test_no_hand_that_works_is_taken_for_one_that_does_not_follow(policy: Path) -> None:
    assert (alarms(policy, 1, lost_from=STEPS) == STEPS).all()


def test_every_hand_is_noticed_once_three_of_its_commands_or_four_were_lost(policy: Path) -> None:
    noticed = alarms(policy, 0, lost_from=LOST_FROM) - LOST_FROM
    assert np.median(noticed) == COMMANDS
    assert (noticed >= COMMANDS).all()
    assert (noticed <= COMMANDS + 1).all()
