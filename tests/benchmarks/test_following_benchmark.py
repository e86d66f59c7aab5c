# SPDX-License-Identifier: Apache-2.0
"""The benchmark of hands that do not follow tells those whose commands get lost from those that work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.following import STEPS, alarms
from meta_rl_core.runtime.following import COMMANDS, COMMANDS_ACKNOWLEDGED

LOST_FROM = 12


@pytest.fixture
def policy(repository: Path) -> Path:
    return repository / "policies" / "dclaw-turn"


@pytest.mark.parametrize(("acknowledged", "least"), [(False, 0.95), (True, 1.0)])
def test_hands_that_work_are_hardly_ever_taken_for_ones_that_do_not_follow(
    policy: Path, acknowledged: bool, least: float
) -> None:
    assert (alarms(policy, 1, lost_from=STEPS, acknowledged=acknowledged) == STEPS).mean() >= least


@pytest.mark.parametrize(("acknowledged", "commands"), [(False, COMMANDS), (True, COMMANDS_ACKNOWLEDGED)])
def test_most_hands_are_noticed_soon_after_the_last_of_the_commands_that_the_rule_looks_at(
    policy: Path, acknowledged: bool, commands: int
) -> None:
    noticed = alarms(policy, 0, lost_from=LOST_FROM, acknowledged=acknowledged) - LOST_FROM
    assert commands <= np.median(noticed) <= commands + 1
    assert (noticed <= commands + 4).mean() >= 0.9
    assert (noticed < STEPS - LOST_FROM).all()
