# SPDX-License-Identifier: Apache-2.0
"""Simulated worlds and plants behind the contracts of `meta_rl_core`; the only package that knows MuJoCo."""
