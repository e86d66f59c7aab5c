# SPDX-License-Identifier: Apache-2.0
"""Meta-training: losses, replay, collection, evaluation, checkpoints (Rakelly et al. 2019)."""
