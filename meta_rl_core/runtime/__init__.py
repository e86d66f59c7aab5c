# SPDX-License-Identifier: Apache-2.0
"""What runs on a robot: readings by joint name, actions, inference, adaptation. NumPy only; never torch."""
