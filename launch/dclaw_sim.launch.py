# SPDX-License-Identifier: Apache-2.0
"""Brings up a D'Claw that adapts: `ros2 launch pitaya_bringup dclaw_sim.launch.py [plant:=... mode:=...]`."""

from launch import LaunchDescription
from pitaya_nodes.launching import describe


def generate_launch_description() -> LaunchDescription:
    """Everything stands in config/bringup/dclaw_sim.yaml, which `pitaya up` reads too."""
    return describe("dclaw_sim")
