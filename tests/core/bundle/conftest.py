# SPDX-License-Identifier: Apache-2.0
"""A small whole bundle, and copies of it to be damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from meta_rl_core.bundle import write_bundle
from tests.helpers.bundles import random_parts_of
from tests.helpers.toy_family import LineFamily, LineReward


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of about four kilobytes."""
    directory = tmp_path_factory.mktemp("whole") / "policy"
    write_bundle(directory, *random_parts_of(LineFamily().spec, LineReward(), hidden=2, latent_dim=1))
    path = directory / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()), separators=(",", ":")))
    return directory


@pytest.fixture
def policy(whole: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "policy"))
