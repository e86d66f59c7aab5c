# SPDX-License-Identifier: Apache-2.0
"""Build description of the ament_python package pitaya_nodes."""

from setuptools import find_packages, setup

PACKAGE = "pitaya_nodes"

setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    zip_safe=False,
    author="Pitaya maintainers",
    author_email="maintainers@pitaya-robotics.org",
    maintainer="Pitaya maintainers",
    maintainer_email="maintainers@pitaya-robotics.org",
    description="ROS 2 nodes that run a meta-trained PEARL policy.",
    license="Apache-2.0",
    entry_points={
        # Executables: one line per node, `ros2 run pitaya_nodes <name>`.
        "console_scripts": [
            "policy_node = pitaya_nodes.policy_node:main",
            "command_gate = pitaya_nodes.command_gate:main",
            "reward_node = pitaya_nodes.reward_node:main",
            "sim_node = pitaya_nodes.sim_node:main",
            "dynamixel_node = pitaya_nodes.dynamixel_node:main",
            "lifecycle_manager = pitaya_nodes.lifecycle_manager:main",
            "recorder = pitaya_nodes.recorder:main",
            "shadow_plant = pitaya_nodes.shadow_plant:main",
            "controller_link = pitaya_nodes.controller_link:main",
        ],
        # Words of the `pitaya` command line that need ROS; meta_rl_core finds them without importing this.
        "pitaya.commands": [
            "up = pitaya_nodes.commands.up:up",
            "demo = pitaya_nodes.commands.demo:demo",
            "adapt = pitaya_nodes.commands.adapt:adapt",
            "doctor = pitaya_nodes.commands.doctor:doctor",
            "excite = pitaya_nodes.commands.excite:excite",
            "identify = pitaya_nodes.commands.identify:identify",
        ],
    },
)
