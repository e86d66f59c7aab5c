# SPDX-License-Identifier: Apache-2.0
"""Starting a node pulls in neither torch nor the simulator."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "mujoco", "gymnasium", "matplotlib")


@pytest.mark.parametrize(
    "module", ["policy_node", "command_gate", "reward_node", "sim_node", "lifecycle_manager", "recorder"]
)
def test_importing_a_node_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, pitaya_nodes.{module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_configuring_the_policy_and_running_it_imports_nothing_heavy(bundle: object) -> None:
    code = (
        "import sys, rclpy\n"
        "from pitaya_nodes.policy_node import PolicyNode\n"
        f"rclpy.init(args=['--ros-args', '-p', 'bundle:={bundle}'])\n"
        "node = PolicyNode()\n"
        "print(node.trigger_configure().name, node.trigger_activate().name)\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])\n"
        "node.destroy_node(); rclpy.shutdown()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["SUCCESS SUCCESS", ""]
