# SPDX-License-Identifier: Apache-2.0
"""A task family of your own, small enough to read in one sitting: a carriage finds the stop it is not told."""

from examples.my_family.family import RailFamily, RailReward, make_family
from examples.my_family.plant import RailPlant

__all__ = ["RailFamily", "RailPlant", "RailReward", "make_family"]
