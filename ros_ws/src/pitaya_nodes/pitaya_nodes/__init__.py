# SPDX-License-Identifier: Apache-2.0
"""ROS 2 nodes of Pitaya: thin rclpy shells around meta_rl_core and sim_bridge."""
