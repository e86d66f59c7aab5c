# SPDX-License-Identifier: Apache-2.0
"""The science of Pitaya: beliefs over tasks, PEARL, bundles and the robot runtime. Knows no ROS and no MuJoCo."""

__version__ = "0.1.0"
