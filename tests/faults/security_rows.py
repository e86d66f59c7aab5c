# SPDX-License-Identifier: Apache-2.0
"""Row 25: what the nodes use against what the policy allows, and starts where security is asked for without keys."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np

from pitaya_nodes.observe_endpoints import observe_all
from pitaya_nodes.security_policy import Endpoints, read_policy
from tests.faults.tally import Tally
from tests.helpers.bundles import make_random_bundle
from tests.ros.graph import BRING_UP, REPOSITORY

_POLICY = REPOSITORY / "config" / "security" / "pitaya.policy.xml"
_NODES = ("policy_node", "command_gate", "reward_node", "sim_node", "lifecycle_manager", "recorder")
_STARTS_WITHIN_S = 120.0
_REASONS = ("names no keystore", "must be Enforce", "so others may read it")


def policy_and_endpoints(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 25 a: each case is one endpoint that a node uses or may use; all of them are looked at."""
    del cases, generator
    bundle = make_random_bundle(folder / "policy").path
    allowed, used = read_policy(_POLICY), observe_all(folder, {"bundle": str(bundle)}, str(BRING_UP))
    tally = Tally()
    for node in sorted({*allowed, *used}):
        for kind in fields(Endpoints):
            may = getattr(allowed.get(node, Endpoints()), kind.name)
            does = getattr(used.get(node, Endpoints()), kind.name)
            for name in sorted(may | does):
                what = f"{node} {kind.name} {name}"
                missing = f"{what}: not allowed" if name not in may else ""
                tally.case(missing or (f"{what}: allowed and not used" if name not in does else ""))
    return tally


def starts_without_keys(cases: int, generator: np.random.Generator, folder: Path) -> Tally:
    """Row 25 b: each case starts a node where security is asked for and a key is missing, open to all, or optional."""
    tally, names = Tally(), list(_WRONG)
    for index in range(cases):
        node, wrong = _NODES[index % len(_NODES)], names[int(generator.integers(len(names)))]
        environment = {
            "ROS_SECURITY_ENABLE": "true",
            "ROS_SECURITY_STRATEGY": "Enforce",
            **_WRONG[wrong](folder),
        }
        started = subprocess.run(
            [sys.executable, "-m", f"pitaya_nodes.{node}"],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=_STARTS_WITHIN_S,
            check=False,
        )
        said = (started.stdout + started.stderr).strip()
        refused = started.returncode == 2 and any(reason in said for reason in _REASONS)
        tally.case("" if refused else f"{node}, {wrong}: status {started.returncode}: {said[-200:]}")
    return tally


def _keystore(folder: Path, mode: int) -> str:
    key = folder / f"keys_{mode:o}" / "enclaves" / "pitaya" / "policy_node" / "key.pem"
    key.parent.mkdir(parents=True, exist_ok=True)
    key.write_text("a key")
    key.chmod(mode)
    return str(folder / f"keys_{mode:o}")


_WRONG = {
    "no keystore": lambda _: {"ROS_SECURITY_KEYSTORE": ""},
    "a keystore that is not there": lambda folder: {"ROS_SECURITY_KEYSTORE": str(folder / "nowhere")},
    "a key that everybody can read": lambda folder: {"ROS_SECURITY_KEYSTORE": _keystore(folder, 0o644)},
    "keys are optional": lambda folder: {
        "ROS_SECURITY_KEYSTORE": _keystore(folder, 0o600),
        "ROS_SECURITY_STRATEGY": "Permissive",
    },
}
