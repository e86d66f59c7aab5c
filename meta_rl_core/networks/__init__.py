# SPDX-License-Identifier: Apache-2.0
"""Torch networks that can be described as layer lists and exported to a bundle."""
