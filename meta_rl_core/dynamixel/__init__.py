# SPDX-License-Identifier: Apache-2.0
"""Dynamixel motors (Protocol 2.0): control table, packets, bus, driver. Knows no ROS."""
