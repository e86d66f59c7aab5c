# SPDX-License-Identifier: Apache-2.0
"""Writes the parameter tables of docs/ros_interface.md from what the nodes declare.

`python -m pitaya_nodes.document_parameters docs/ros_interface.md` rewrites the part between the two markers.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pitaya_nodes import (
    controller_link,
    dynamixel_node,
    gate_settings,
    lifecycle_manager,
    policy_node,
    recorder,
    reward_node,
    sim_node,
)
from pitaya_nodes.errors import BringUpError
from pitaya_nodes.parameters import Setting

NODES: dict[str, tuple[Setting, ...]] = {
    "policy_node": policy_node.SETTINGS,
    "command_gate": gate_settings.SETTINGS,
    "reward_node": reward_node.SETTINGS,
    "sim_node": sim_node.SETTINGS,
    "dynamixel_node": dynamixel_node.SETTINGS,
    "lifecycle_manager": lifecycle_manager.SETTINGS,
    "recorder": recorder.SETTINGS,
    "controller_link": controller_link.SETTINGS,
}
BEGIN = "<!-- parameters: written by python -m pitaya_nodes.document_parameters docs/ros_interface.md -->"
END = "<!-- end of parameters -->"


def parameter_tables() -> str:
    """One table per node, in Markdown."""
    return "\n".join(_table(node, settings) for node, settings in NODES.items())


def rewrite(text: str) -> str:
    """The same page with fresh tables between the markers.

    Raises:
        BringUpError: If a marker is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BringUpError(f"the page must hold the markers {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{parameter_tables()}\n{END}{after}"


def _table(node: str, settings: Sequence[Setting]) -> str:
    rows = [
        f"### {node}",
        "",
        "| Parameter | Type | Default | Allowed | Set | Meaning |",
        "|---|---|---|---|---|---|",
    ]
    rows += [
        f"| `{s.name}` | {s.kind} | {_default(s.default)} | {s.allowed} | "
        f"{'at start' if s.fixed else 'any time'} | {s.description} |"
        for s in settings
    ]
    return "\n".join([*rows, ""])


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (int, float)):
        return f"`{value}`"
    return f"`{value}`" if isinstance(value, str) and value else "none"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point."""
    words = sys.argv[1:] if arguments is None else arguments
    if len(words) != 1:
        print("usage: python -m pitaya_nodes.document_parameters docs/ros_interface.md", file=sys.stderr)
        return 2
    path = Path(words[0])
    path.write_text(rewrite(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
