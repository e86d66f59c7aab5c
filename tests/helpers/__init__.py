# SPDX-License-Identifier: Apache-2.0
"""Builders shared by the tests."""
