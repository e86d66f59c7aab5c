# SPDX-License-Identifier: Apache-2.0
"""Finds out what a D'Claw's body is like from how it moved."""
