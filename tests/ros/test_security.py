# SPDX-License-Identifier: Apache-2.0
"""The security policy names what the nodes use and nothing else; security without keys is no security."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from pitaya_nodes.errors import SecurityError
from pitaya_nodes.observe_endpoints import observe_all
from pitaya_nodes.security import check_security, enclave_arguments
from pitaya_nodes.security_policy import Endpoints, read_policy, write_policy
from tests.ros.graph import BRING_UP

ASKED = {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce"}


def test_the_policy_allows_each_node_what_it_uses_and_nothing_else(
    repository: Path, bundle: Path, patient_robot: Path, tmp_path: Path
) -> None:
    allowed = read_policy(repository / "config" / "security" / "pitaya.policy.xml")
    used = observe_all(tmp_path, {"bundle": str(bundle)}, str(BRING_UP), str(patient_robot))
    differences = [
        f"{name} {kind.name}: unused {sorted(extra)}, not allowed {sorted(missing)}"
        for name in sorted({*allowed, *used})
        for kind in fields(Endpoints)
        if (extra := of(allowed, name, kind.name) - of(used, name, kind.name))
        | (missing := of(used, name, kind.name) - of(allowed, name, kind.name))
    ]
    assert not differences, "run: python -m pitaya_nodes.observe_endpoints config/security/pitaya.policy.xml"


def of(nodes: dict[str, Endpoints], name: str, kind: str) -> frozenset[str]:
    return getattr(nodes.get(name, Endpoints()), kind)


def test_the_policy_node_may_not_hear_the_task(repository: Path) -> None:
    policy = read_policy(repository / "config" / "security" / "pitaya.policy.xml")
    assert "/task" in policy["reward_node"].subscribe
    assert not any(
        "task" in name for kind in fields(Endpoints) for name in of(policy, "policy_node", kind.name)
    )
    commanders = {name for name, item in policy.items() if "/executed_command" in item.publish}
    assert commanders == {"command_gate"}


def test_the_driver_hears_gate_and_stop_button_alone_and_tells_states_and_what_it_carries_out(
    repository: Path,
) -> None:
    driver = read_policy(repository / "config" / "security" / "pitaya.policy.xml")["dynamixel_node"]
    assert {"/executed_command", "/command_gate/status", "/emergency_stop"} <= driver.subscribe
    assert not {"/joint_command", "/task", "/goal"} & driver.subscribe
    assert {"/joint_states", "/applied_command"} <= driver.publish
    assert {"/reset_plant", "/dynamixel_node/reboot_motors", "/dynamixel_node/clear"} <= driver.reply
    assert not driver.execute | driver.call | driver.request


def test_a_policy_is_read_as_it_was_written(tmp_path: Path) -> None:
    nodes = {
        "one": Endpoints(frozenset({"/a", "/b"}), frozenset({"/c"}), execute=frozenset({"/one/adapt"})),
        "two": Endpoints(
            reply=frozenset({"/two/x"}), request=frozenset({"/y"}), call=frozenset({"/one/adapt"})
        ),
    }
    (tmp_path / "policy.xml").write_text(write_policy(nodes))
    assert read_policy(tmp_path / "policy.xml") == nodes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<policy", "cannot be read"),
        ('<!DOCTYPE p [<!ENTITY a "b">]><policy>&a;</policy>', "declares entities"),
        (write_policy({"n": Endpoints(frozenset({"/a"}))}).replace("ALLOW", "DENY"), "is not known"),
    ],
)
def test_a_policy_that_says_something_else_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "policy.xml").write_text(text)
    with pytest.raises(SecurityError, match=said):
        read_policy(tmp_path / "policy.xml")


def keystore(folder: Path, mode: int = 0o600) -> Path:
    key = folder / "enclaves" / "pitaya" / "policy_node" / "key.pem"
    key.parent.mkdir(parents=True)
    key.write_text("a key")
    key.chmod(mode)
    return folder


def test_security_is_refused_without_keys_with_keys_for_all_and_where_it_is_optional(tmp_path: Path) -> None:
    check_security({})
    check_security({"ROS_SECURITY_ENABLE": "false", "ROS_SECURITY_STRATEGY": "Permissive"})
    sound = {**ASKED, "ROS_SECURITY_KEYSTORE": str(keystore(tmp_path / "sound"))}
    check_security(sound)
    for wrong, said in (
        (ASKED, "names no keystore"),
        ({**ASKED, "ROS_SECURITY_KEYSTORE": str(tmp_path / "nowhere")}, "names no keystore"),
        ({**sound, "ROS_SECURITY_STRATEGY": "Permissive"}, "must be Enforce, got 'Permissive'"),
        ({**ASKED, "ROS_SECURITY_KEYSTORE": str(keystore(tmp_path / "open", 0o644))}, "has mode 0644"),
    ):
        with pytest.raises(SecurityError, match=said):
            check_security(wrong)


def test_each_node_gets_its_own_enclave_where_security_is_asked_for() -> None:
    assert enclave_arguments("policy_node", ASKED) == ["--enclave", "/pitaya/policy_node"]
    assert enclave_arguments("policy_node", {}) == []


@pytest.mark.parametrize("module", ["policy_node", "lifecycle_manager"])
def test_a_node_that_is_to_be_secure_and_has_no_keys_does_not_start(module: str, ros_domain_id: int) -> None:
    started = subprocess.run(
        [sys.executable, "-m", f"pitaya_nodes.{module}"],
        env={**os.environ, **ASKED, "ROS_SECURITY_KEYSTORE": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert started.returncode == 2
    assert "names no keystore" in started.stdout + started.stderr
