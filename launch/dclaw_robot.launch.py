# SPDX-License-Identifier: Apache-2.0
"""Brings up a real D'Claw that adapts: `ros2 launch pitaya_bringup dclaw_robot.launch.py port:=/dev/ttyUSB0`."""

from launch import LaunchDescription
from pitaya_nodes.launching import describe


def generate_launch_description() -> LaunchDescription:
    """Everything stands in config/bringup/dclaw_robot.yaml, which `pitaya up` reads too."""
    return describe("dclaw_robot")
