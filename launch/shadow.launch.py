# SPDX-License-Identifier: Apache-2.0
"""The pipeline beside a live robot, moving nothing: `ros2 launch pitaya_bringup shadow.launch.py [robot:=/NAME]`."""

from launch import LaunchDescription
from pitaya_nodes.launching import describe


def generate_launch_description() -> LaunchDescription:
    """Everything stands in config/bringup/shadow.yaml, which `pitaya up` reads too."""
    return describe("shadow")
