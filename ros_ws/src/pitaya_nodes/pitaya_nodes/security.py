# SPDX-License-Identifier: Apache-2.0
"""Refuses to start when security is asked for and the keys for it are missing, optional or open to others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pitaya_nodes.errors import SecurityError

ENABLE, STRATEGY, KEYSTORE = "ROS_SECURITY_ENABLE", "ROS_SECURITY_STRATEGY", "ROS_SECURITY_KEYSTORE"
_OTHERS = 0o077


def enclave_of(name: str) -> str:
    """The enclave of a node: each has its own keys and permissions."""
    return f"/pitaya/{name}"


def enclave_arguments(name: str, environment: Mapping[str, str]) -> list[str]:
    """ROS arguments that put a node into its enclave where security is asked for."""
    return ["--enclave", enclave_of(name)] if is_asked(environment) else []


def is_asked(environment: Mapping[str, str]) -> bool:
    """Whether the variables ask for security."""
    return environment.get(ENABLE, "").lower() == "true"


def check_security(environment: Mapping[str, str]) -> None:
    """Checks the variables that ask for security, before anything joins the graph.

    ROS itself goes on without security if the strategy is not Enforce and a key is missing.

    Raises:
        SecurityError: If security is asked for and cannot be had.
    """
    if not is_asked(environment):
        return
    strategy = environment.get(STRATEGY, "")
    if strategy != "Enforce":
        raise SecurityError(
            f"{ENABLE} is true, so {STRATEGY} must be Enforce, got {strategy!r}: any other one goes on without keys"
        )
    keystore = environment.get(KEYSTORE, "")
    if not keystore or not Path(keystore, "enclaves").is_dir():
        raise SecurityError(
            f"{ENABLE} is true, but {KEYSTORE}={keystore!r} names no keystore: make one as docs/security.md says"
        )
    for path in (*Path(keystore, "enclaves").rglob("key.pem"), *Path(keystore, "private").rglob("*.key.pem")):
        mode = path.stat().st_mode & 0o777
        if mode & _OTHERS:
            raise SecurityError(
                f"private key {path} has mode {mode:04o}, so others may read it: chmod 0600, and make new keys"
            )
