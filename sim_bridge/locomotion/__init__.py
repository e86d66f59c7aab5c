# SPDX-License-Identifier: Apache-2.0
"""PEARL's locomotion families in MuJoCo: half-cheetah, ant, humanoid, and walkers of random build."""
