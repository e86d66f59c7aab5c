# SPDX-License-Identifier: Apache-2.0
"""What is measured, rewarded and solved: pure functions of measured signals, one module per family."""
