# SPDX-License-Identifier: Apache-2.0
"""Measurements that anybody can repeat: `python -m benchmarks.<name> --json FILE`."""
