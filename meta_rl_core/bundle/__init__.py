# SPDX-License-Identifier: Apache-2.0
"""The deployable policy: manifest, weights and golden vectors in one directory. No pickle, no torch."""

from meta_rl_core.bundle.load import Bundle, load_bundle
from meta_rl_core.bundle.manifest import family_fields
from meta_rl_core.bundle.save import write_bundle

__all__ = ["Bundle", "family_fields", "load_bundle", "write_bundle"]
