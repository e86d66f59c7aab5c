# SPDX-License-Identifier: Apache-2.0
"""What every `fast` preset begins with."""

from __future__ import annotations

from typing import Any

FAST: dict[str, Any] = {
    "method": "sac_v2",
    "relabel": True,
    "layer_norm": True,
    "prior_in_product": True,
    "next_observation_in_context": True,
    "reward_prediction_weight": 1.0,
    "reduced_precision": True,
    "averaging_rate": 0.002,
    "learning_rate_decay": 0.05,
}
