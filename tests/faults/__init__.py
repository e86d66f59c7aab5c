# SPDX-License-Identifier: Apache-2.0
"""Injects faults, counts what went wrong, and writes the fault report: `make fault-report`."""
