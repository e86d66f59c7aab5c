# SPDX-License-Identifier: Apache-2.0
"""Words of the `pitaya` command line that need ROS."""
